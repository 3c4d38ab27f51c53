"""A market from a candle file, at the file's own times, moved in time, or over and over."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from btc_pipeline.exchanges.replay.market import Listing, MinuteRow
from btc_pipeline.exchanges.replay.noise import unit
from btc_pipeline.market.candles import UNKNOWN_TRADES, Candles, to_ticks


class FileMarket:
    """The rows of one file under one name. A hole between its rows is a minute without trades, like a flat row."""

    def __init__(
        self, candles: Candles, coin: str = "BTC", *, shift: int = 0, repeat: bool = False, source: str = "candles"
    ) -> None:
        """
        Args:
            candles: 1m rows. Where trades are not counted, a count is made up for minutes with volume.
            shift: minutes by which the exchange's time is ahead of the file's.
            repeat: over and over, without end in both directions; prices jump where the file begins anew.
            source: what it is called in `describe`.
        """
        scale = candles.scale
        self._listings = {coin: Listing(coin, scale.price, scale.volume)}
        self._coin = coin
        self._shift = shift
        self._repeat = repeat
        self._source = source
        self._time = candles.time
        self._prices = np.stack(
            [to_ticks(column, scale.price) for column in (candles.open, candles.high, candles.low, candles.close)], 1
        )
        self._volume = to_ticks(candles.volume, scale.volume)
        self._trades = candles.trades
        quiet = (self._volume == 0) & (self._prices.min(1) == self._prices.max(1))
        self._traded = np.flatnonzero(~quiet)
        self._quiet = quiet
        self._row = lru_cache(maxsize=16_384)(self._make_row)

    @property
    def listings(self) -> Mapping[str, Listing]:
        return self._listings

    @property
    def first(self) -> int:
        """The epoch minute of its first row, by the exchange's time."""
        return int(self._time[0]) + self._shift

    @property
    def end(self) -> int:
        """The epoch minute after its last row, by the exchange's time."""
        return int(self._time[-1]) + 1 + self._shift

    def minute(self, coin: str, minute: int) -> MinuteRow | None:
        return self._row(minute) if coin == self._coin else None

    def last_close(self, coin: str, minute: int) -> int | None:
        if coin != self._coin or not len(self._traded) or not (self._repeat or self.first <= minute < self.end):
            return None
        index = int(np.searchsorted(self._time[self._traded], self._file_minute(minute))) - 1
        if index < 0 and not self._repeat:
            return None
        return int(self._prices[self._traded[index], 3])

    def begins(self, coin: str) -> int:
        return 0 if self._repeat or coin != self._coin else self.first

    def describe(self) -> str:
        times = "over and over" if self._repeat else "moved in time" if self._shift else "at its own times"
        return f"{self._source}, {len(self._time):,} minutes {times} ({self._coin})"

    def _file_minute(self, minute: int) -> int:
        first = int(self._time[0])
        own = minute - self._shift
        return first + (own - first) % (int(self._time[-1]) + 1 - first) if self._repeat else own

    def _make_row(self, minute: int) -> MinuteRow | None:
        own = self._file_minute(minute)
        index = int(np.searchsorted(self._time, own))
        if index == len(self._time) or self._time[index] != own:
            return None
        open_, high, low, close = (int(price) for price in self._prices[index])
        volume, trades = int(self._volume[index]), int(self._trades[index])
        if self._quiet[index]:
            trades = 0
        elif trades == UNKNOWN_TRADES:
            trades = max(1, min(volume, 4 + int(80 * unit(volume, own))))
        return MinuteRow(minute, open_, high, low, close, volume, max(trades, 0 if self._quiet[index] else 1))


def read_candles(path: Path) -> Candles:
    """The rows of a file in any format that `import-candles` takes.

    Raises:
        UserError: it cannot be read, or a row is wrong.
    """
    from btc_pipeline.importing.reader import read_candle_file

    return read_candle_file(path).minutes
