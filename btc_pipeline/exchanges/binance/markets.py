"""Where Binance's two markets differ: names, paths, weights, and what a file of theirs is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final


@dataclass(frozen=True, slots=True)
class Market:
    """One of Binance's markets.

    Attributes:
        venue: its name here.
        api: what its REST paths begin with.
        weight_a_minute: what an address may use.
        weights: of a request, by what is asked for.
        klines_weights: (rows asked for at most, weight), ascending.
        archive_folder: of its files, behind `data/`.
        archive_since: the first day of its files.
        gone: states of instruments that are not traded any more.
    """

    venue: str
    api: str
    weight_a_minute: int
    weights: Mapping[str, int]
    klines_weights: tuple[tuple[int, int], ...]
    archive_folder: str
    archive_since: date
    gone: frozenset[str]

    def klines_weight(self, rows: int) -> int:
        """What a request for so many rows costs."""
        return next(weight for most, weight in self.klines_weights if rows <= most)


SPOT: Final = Market(
    venue="BINANCE",
    api="/api/v3",
    weight_a_minute=6_000,
    weights={"time": 1, "exchangeInfo": 20, "ticker/price": 4},
    klines_weights=((1_000, 2),),
    archive_folder="spot",
    archive_since=date(2017, 8, 1),
    gone=frozenset({"BREAK"}),
)
USD_M: Final = Market(
    venue="BINANCE_UM",
    api="/fapi/v1",
    weight_a_minute=2_400,
    weights={"time": 1, "exchangeInfo": 1, "ticker/price": 2},
    # 1,000 rows cost 5, and so does anything above 499.
    klines_weights=((99, 1), (499, 2), (1_000, 5)),
    archive_folder="futures/um",
    archive_since=date(2019, 9, 1),
    gone=frozenset({"SETTLING", "DELIVERED", "CLOSE"}),
)
