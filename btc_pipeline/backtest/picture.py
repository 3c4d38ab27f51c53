"""A run as a picture: equity above, drawdown below, as a small SVG that needs nothing to be drawn."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final
from xml.sax.saxutils import escape

import numpy as np

from btc_pipeline.market.candles import Float64Array
from btc_pipeline.market.intervals import Int64Array

WIDTH: Final = 760
HEIGHT: Final = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 10, 26, 22
_SPLIT: Final = 236
"""Where equity ends and drawdown begins, with a gap."""
_GAP: Final = 22
_COLUMNS: Final = 338
"""Points of a line; of more, the lowest and the highest of each column are drawn."""
_EPOCH: Final = date(1970, 1, 1)


def equity_svg(equity: Float64Array, first_day: int, title: str) -> str:
    """The picture.

    Args:
        equity: float64[d + 1], at the start of the day `first_day` (since 1970-01-01) and at every midnight after.
        title: above it.
    """
    peak = np.maximum.accumulate(equity)
    drawdown = np.where(peak > 0, equity / np.where(peak > 0, peak, 1.0) - 1.0, 0.0) * 100
    low, high = float(equity.min()), float(equity.max())
    if low == high:
        low, high = low - 1.0, high + 1.0
    deepest = min(float(drawdown.min()), -1.0)
    days = len(equity) - 1
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        '<g font-family="sans-serif" font-size="11" fill="#444">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{_LEFT}" y="16" font-size="12" fill="#111">{escape(title)}</text>',
        *_levels(low, high, _TOP, _SPLIT, money=True),
        *_levels(deepest, 0.0, _SPLIT + _GAP, HEIGHT - _BOTTOM, money=False),
        *_dates(first_day, days),
        f'<path d="{_line(equity, low, high, _TOP, _SPLIT)}" fill="none" stroke="#1f6feb" stroke-width="1.3"/>',
        f'<path d="{_area(drawdown, deepest, _SPLIT + _GAP, HEIGHT - _BOTTOM)}" fill="#d1242f" fill-opacity="0.35"/>',
        "</g></svg>",
    ]
    return "".join(parts)


def _line(values: Float64Array, low: float, high: float, top: int, bottom: int) -> str:
    x, y = _points(values, low, high, top, bottom)
    return _path(x, y)


def _area(values: Float64Array, low: float, top: int, bottom: int) -> str:
    """From zero, which is at the top, down to the values."""
    x, y = _points(values, low, 0.0, top, bottom)
    return f"{_path(x, y)}V{top}H{x[0]}Z"


def _path(x: Int64Array, y: Int64Array) -> str:
    """Steps rather than places, which are shorter."""
    steps = zip(np.diff(x).tolist(), np.diff(y).tolist(), strict=True)
    return f"M{x[0]} {y[0]}l" + " ".join(f"{dx} {dy}" for dx, dy in steps)


def _points(values: Float64Array, low: float, high: float, top: int, bottom: int) -> tuple[Int64Array, Int64Array]:
    """Places in the picture, int64[k] each, at most two a column."""
    n = len(values)
    place = np.arange(n) / max(1, n - 1)
    if n > 2 * _COLUMNS:
        first = np.unique((np.arange(_COLUMNS) * n) // _COLUMNS)
        least = np.minimum.reduceat(values, first)
        most = np.maximum.reduceat(values, first)
        values = np.stack((least, most), axis=1).ravel()
        place = np.repeat(place[first], 2)
    x = np.rint(_LEFT + place * (WIDTH - _LEFT - _RIGHT)).astype(np.int64)
    y = np.rint(bottom - (values - low) / (high - low) * (bottom - top)).astype(np.int64)
    return x, y


def _levels(low: float, high: float, top: int, bottom: int, *, money: bool) -> list[str]:
    """Lines with their values at the least, the middle and the most."""
    lines = []
    for share in (0.0, 0.5, 1.0):
        value, y = low + share * (high - low), round(bottom - share * (bottom - top))
        text = f"{value:,.0f}" if money else f"{value:.1f} %"
        lines.append(f'<path d="M{_LEFT} {y}H{WIDTH - _RIGHT}" stroke="#ddd"/>')
        lines.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{text}</text>')
    return lines


def _dates(first_day: int, days: int) -> list[str]:
    marks = []
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        day = _EPOCH + timedelta(days=first_day + round(share * days))
        x = _LEFT + share * (WIDTH - _LEFT - _RIGHT)
        marks.append(f'<text x="{x:.0f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{day}</text>')
    return marks
