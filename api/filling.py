"""Filling: slots without a bar shown flat at the close before them. Only when reading, only when asked for, flagged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from btc_pipeline.market.intervals import Interval
from btc_pipeline.storage.times import to_datetime, to_minute

Row = dict[str, Any]


def fill(rows: Sequence[Row], interval: Interval, slots: range, before: Mapping[str, Any] | None) -> list[Row]:
    """One row a slot: its bar, or a flat one at the close before it; slots before any bar have none.

    Args:
        rows: bars, ascending.
        slots: the slots wanted.
        before: the bar before the first slot.
    """
    bars = {interval.slot(to_minute(row["time"])): row for row in rows}
    earlier = [slot for slot in bars if slot < slots.start]
    close = bars[max(earlier)]["close"] if earlier else None if before is None else before["close"]
    filled = []
    for slot in slots:
        if slot in bars:
            close = bars[slot]["close"]
            filled.append({**bars[slot], "filled": False})
        elif close is not None:
            filled.append(_flat(interval, slot, close))
    return filled


def _flat(interval: Interval, slot: int, close: float) -> Row:
    """What is not known of a slot is null: an empty slot may be quiet or missing."""
    return {
        "time": to_datetime(interval.open(slot)),
        **dict.fromkeys(("open", "high", "low", "close"), close),
        "volume": 0.0,
        **dict.fromkeys(("quote_volume", "taker_buy_volume", "trades", "vwap", "minutes", "quiet_minutes")),
        "expected_minutes": interval.close(slot) - interval.open(slot),
        "usable": False,
        "materialized": False,
        "forming": False,
        "filled": True,
    }
