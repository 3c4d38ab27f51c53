"""What a strategy made of bars, and what it saw: reasons as sentences, values as snapshots, digests of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np

from btc_pipeline.market.candles import BoolArray, Candles, Float64Array
from btc_pipeline.market.intervals import Int64Array
from btc_pipeline.strategies.base import TargetArray


@dataclass(frozen=True, slots=True)
class Judged:
    """What a strategy makes of n bars.

    Attributes:
        values: what it saw, by name.
        unsettled, warmed: of its inputs by name, where a value is not settled, or rests on another venue's bars.
        saw_warm: where such a value or bar is among all that it looked at.
    """

    bars: Candles
    target: TargetArray
    confidence: Float64Array
    reasons: list[tuple[BoolArray, str]]
    values: dict[str, Float64Array]
    unsettled: dict[str, BoolArray]
    warmed: dict[str, BoolArray]
    saw_warm: BoolArray

    def take(self, rows: slice) -> Judged:
        """Some of the bars."""
        return Judged(
            self.bars.take(rows),
            self.target[rows],
            self.confidence[rows],
            [(mask[rows], text) for mask, text in self.reasons],
            {name: column[rows] for name, column in self.values.items()},
            {name: mask[rows] for name, mask in self.unsettled.items()},
            {name: mask[rows] for name, mask in self.warmed.items()},
            self.saw_warm[rows],
        )

    def then(self, later: Judged, bars: Candles) -> Judged:
        """These bars, and later ones behind them; `bars` are both."""
        none_before, none_later = np.zeros(len(self.target), np.bool_), np.zeros(len(later.target), np.bool_)
        reasons = [(np.concatenate((mask, none_later)), text) for mask, text in self.reasons]
        reasons += [(np.concatenate((none_before, mask)), text) for mask, text in later.reasons]
        return Judged(
            bars,
            np.concatenate((self.target, later.target)),
            np.concatenate((self.confidence, later.confidence)),
            reasons,
            {name: np.concatenate((column, later.values[name])) for name, column in self.values.items()},
            {name: np.concatenate((mask, later.unsettled[name])) for name, mask in self.unsettled.items()},
            {name: np.concatenate((mask, later.warmed[name])) for name, mask in self.warmed.items()},
            np.concatenate((self.saw_warm, later.saw_warm)),
        )

    def sentences(self, rows: Int64Array) -> list[list[str]]:
        """The reasons that hold at each bar. Bars with the same combination share one list."""
        code = np.zeros(len(rows), dtype=np.int64)
        for bit, (mask, _) in enumerate(self.reasons):
            code |= mask[rows].astype(np.int64) << bit
        texts = {
            int(value): [text for bit, (_, text) in enumerate(self.reasons) if int(value) >> bit & 1]
            for value in np.unique(code)
        }
        return [texts[value] for value in code.tolist()]

    def snapshots(self, rows: Int64Array) -> list[str]:
        """JSON objects of what was seen; doubles as the shortest text that gives them back, null where none is."""
        columns = [[None if isnan(v) else v for v in floats[rows].tolist()] for floats in self.values.values()]
        flags = {"unsettled": _names_where(self.unsettled, rows), "warmed": _names_where(self.warmed, rows)}
        texts = []
        for at in range(len(rows)):
            seen: dict[str, object] = {name: column[at] for name, column in zip(self.values, columns, strict=True)}
            seen.update((flag, names[at]) for flag, names in flags.items() if names[at])
            texts.append(json.dumps(seen))
        return texts

    def digests(self, who: Sequence[str], rows: Int64Array) -> list[str]:
        """Digests of what was seen at each bar: by whom, the bar's time and state, every value's bits.

        Where another venue's bars were seen the digest says so; elsewhere it is the same as without warm-up.
        """
        bars, values, unsettled = self.bars, self.values, self.unsettled
        seed = hashlib.blake2b("\0".join([*who, *values, *unsettled]).encode(), digest_size=16)
        table = np.empty((len(rows), 2 + len(values) + len(unsettled)), dtype=np.int64)
        table[:, 0] = bars.close_time[rows]
        table[:, 1] = bars.usable[rows]
        for column, floats in enumerate(values.values(), start=2):
            table[:, column] = np.where(np.isnan(floats[rows]), np.nan, floats[rows]).view(np.int64)
        for column, flags in enumerate(unsettled.values(), start=2 + len(values)):
            table[:, column] = flags[rows]
        saw_warm = self.saw_warm[rows].tolist()
        warmed = _names_where(self.warmed, rows)
        digests = []
        for at, row in enumerate(table.astype("<i8")):
            digest = seed.copy()
            digest.update(row.tobytes())
            if saw_warm[at]:
                digest.update("\0".join(["warmed", *warmed[at]]).encode())
            digests.append(digest.hexdigest())
        return digests


def _names_where(masks: Mapping[str, BoolArray], rows: Int64Array) -> list[list[str]]:
    """Of each row, the names whose mask holds."""
    found: list[list[str]] = [[] for _ in range(len(rows))]
    for name, mask in masks.items():
        for at in np.flatnonzero(mask[rows]).tolist():
            found[at].append(name)
    return found
