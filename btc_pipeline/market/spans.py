"""Sets of minutes as sorted half-open spans: what a source vouches for, what is missing, what was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from btc_pipeline.market.intervals import Int64Array


@dataclass(frozen=True, slots=True)
class Spans:
    """Disjoint spans [start, end) of epoch minutes, ascending; int64[n] each. Touching spans are joined."""

    start: Int64Array
    end: Int64Array

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> Spans:
        """The union of any spans; empty ones are dropped.

        Example:
            >>> Spans.of([(3, 5), (0, 2), (5, 6)]).pairs()
            [(0, 2), (3, 6)]
        """
        joined: list[list[int]] = []
        for start, end in sorted((int(a), int(b)) for a, b in pairs if a < b):
            if joined and start <= joined[-1][1]:
                joined[-1][1] = max(joined[-1][1], end)
            else:
                joined.append([start, end])
        table = np.array(joined, dtype=np.int64).reshape(-1, 2)
        return cls(table[:, 0].copy(), table[:, 1].copy())

    @classmethod
    def of_minutes(cls, minutes: Int64Array) -> Spans:
        """The spans that ascending, distinct minutes form."""
        if not len(minutes):
            return cls(minutes, minutes)
        breaks = np.flatnonzero(np.diff(minutes) != 1)
        first, last = np.concatenate(([0], breaks + 1)), np.concatenate((breaks, [len(minutes) - 1]))
        return cls(minutes[first], minutes[last] + 1)

    def __len__(self) -> int:
        return len(self.start)

    @property
    def total(self) -> int:
        """How many minutes the spans hold."""
        return int((self.end - self.start).sum())

    def pairs(self) -> list[tuple[int, int]]:
        """The spans as (start, end) integers."""
        return list(zip(self.start.tolist(), self.end.tolist(), strict=True))

    def clip(self, start: int, end: int) -> Spans:
        """What lies within [start, end)."""
        low, high = np.maximum(self.start, start), np.minimum(self.end, end)
        keep = low < high
        return Spans(low[keep], high[keep])

    def complement(self, start: int, end: int) -> Spans:
        """What of [start, end) the spans leave out."""
        inside = self.clip(start, end)
        low = np.concatenate((np.array([start], np.int64), inside.end))
        high = np.concatenate((inside.start, np.array([end], np.int64)))
        keep = low < high
        return Spans(low[keep], high[keep])

    def without(self, other: Spans) -> Spans:
        """The spans that touch none of the other's."""
        if not len(self.start) or not len(other.start):
            return self
        touched = other.count_before(self.end) > other.count_before(self.start)
        return Spans(self.start[~touched], self.end[~touched])

    def minutes(self) -> Int64Array:
        """Every minute of the spans, ascending, int64[total]."""
        lengths = self.end - self.start
        offset = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.asarray(np.repeat(self.start, lengths) + offset, np.int64)

    def contains(self, minute: Int64Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Which minutes lie in a span, bool[n]."""
        if not len(self.start):
            return np.zeros(len(minute), dtype=np.bool_)
        index = np.searchsorted(self.start, minute, side="right") - 1
        return np.asarray((index >= 0) & (minute < self.end[np.maximum(index, 0)]))

    def count_before(self, minute: Int64Array) -> Int64Array:
        """How many minutes of the spans are earlier than each given minute, int64[n]."""
        if not len(self.start):
            return np.zeros(len(minute), dtype=np.int64)
        lengths = self.end - self.start
        whole = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
        index = np.searchsorted(self.start, minute, side="right") - 1
        within = np.minimum(minute - self.start[np.maximum(index, 0)], lengths[np.maximum(index, 0)])
        return np.where(index >= 0, whole[np.maximum(index, 0)] + within, 0)


NO_SPANS = Spans(np.empty(0, np.int64), np.empty(0, np.int64))
