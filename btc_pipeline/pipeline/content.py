"""What a day holds, and its digest: values only, so that equal content has an equal digest wherever it was made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from btc_pipeline.market.candles import Candles, Float64Array
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Int64Array
from btc_pipeline.storage.indicators import IndicatorRows
from btc_pipeline.strategies.decisions import Decisions

EMPTY: Final = "empty"
"""The content digest of a day without rows."""

_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one kind, ascending by day: numbers as int64[n, k] (doubles by their bits), texts one a row."""

    name: str
    day: Int64Array
    numbers: Int64Array
    texts: Sequence[str] | None = None


def day_digests(parts: Sequence[Part], days: range) -> dict[int, str]:
    """The digest of each day of a range; EMPTY where no part has a row."""
    edges = np.arange(days.start, days.stop + 1)
    bounds = [np.searchsorted(part.day, edges).tolist() for part in parts]
    return {day: _digest_of_rows(parts, [(b[at], b[at + 1]) for b in bounds]) for at, day in enumerate(days)}


def _digest_of_rows(parts: Sequence[Part], rows: Sequence[tuple[int, int]]) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    empty = True
    for part, (first, end) in zip(parts, rows, strict=True):
        if first == end:
            continue
        empty = False
        digest.update(f"{part.name}:{end - first}:".encode())
        digest.update(part.numbers[first:end].tobytes())
        if part.texts is not None:
            digest.update("\n".join(part.texts[first:end]).encode())
    return EMPTY if empty else digest.hexdigest()


def combined_digest(*texts: str) -> str:
    """One digest of several texts, order and boundaries included."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()


def minutes_parts(minutes: Candles, vouched: Int64Array) -> list[Part]:
    """Minutes as a source told them: rows, and minutes vouched for."""
    columns = (minutes.open, minutes.high, minutes.low, minutes.close, minutes.volume)
    numbers = stack(
        minutes.time, *map(bits, columns), bits(minutes.quote_volume), bits(minutes.taker_buy_volume), minutes.trades
    )
    return [
        Part("1m", minutes.time // MINUTES_PER_DAY, numbers),
        Part("vouched", vouched // MINUTES_PER_DAY, vouched.reshape(-1, 1)),
    ]


def bars_part(bars: Candles) -> Part:
    """Bars of one interval."""
    floats = (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.quote_volume, bars.taker_buy_volume)
    integers = (bars.trades, bars.minutes, bars.quiet_minutes, bars.expected_minutes, bars.usable.astype(np.int64))
    return Part(bars.interval.name, bars.day, stack(bars.time, *map(bits, floats), *integers))


def indicator_parts(values: Mapping[str, IndicatorRows]) -> list[Part]:
    """Indicator rows by name."""
    return [
        # Without warm-up the numbers are those that they were before there was any.
        Part(name, rows.day, stack(rows.time, bits(rows.value), rows.settled + 2 * rows.warmed.astype(np.int64)))
        for name, rows in sorted(values.items())
    ]


def decisions_part(name: str, decisions: Decisions) -> Part:
    """The decisions of one strategy; `input_digest` stands for the snapshot, which it covers."""
    numbers = stack(decisions.time, decisions.target.astype(np.int64), bits(decisions.confidence))
    told = zip(decisions.type, decisions.reasons, decisions.input_digest, decisions.warmed.tolist(), strict=True)
    texts = [f"{kind}|{'|'.join(reasons)}|{digest}{'|warmed' * warmed}" for kind, reasons, digest, warmed in told]
    return Part(name, decisions.day, numbers, texts)


def stack(*columns: Int64Array) -> Int64Array:
    """Columns side by side, int64[n, k], little-endian and contiguous."""
    return np.ascontiguousarray(np.stack(columns, axis=1), dtype="<i8")


def bits(values: Float64Array) -> Int64Array:
    """Doubles as integers, one bit pattern for every NaN and for both zeros."""
    canonical = np.where(np.isnan(values), np.nan, values + 0.0)
    return canonical.view(np.int64)
