"""A made-up market, endless into the past and the future: every minute is a function of the seed and its time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay.market import Listing, MinuteRow
from btc_pipeline.exchanges.replay.noise import mixed, smooth, text_seed, unit

BTC: Final = Listing("BTC", price_decimals=1, volume_decimals=5)
ETH: Final = Listing("ETH", price_decimals=1, volume_decimals=4, max_leverage=25)
MATIC: Final = Listing("MATIC", price_decimals=5, volume_decimals=1, max_leverage=20, delisted=True)

_BASE_PRICE: Final = {"BTC": 84_000.0, "ETH": 3_100.0}
_OTHER_BASE: Final = 25.0
_USUAL_TURNOVER: Final = 1_000_000.0
_PERIODS: Final = tuple(4**k for k in range(10))
_STEP: Final = 0.00035
"""Typical move over one minute, as a share of the price; over a period of n minutes it is sqrt(n) times that."""
_FURTHEST_WALK_BACK: Final = 10_000


class SyntheticMarket:
    """Prices are octaves of hashed noise with the roughness of a random walk, around a base price per coin."""

    def __init__(self, seed: int = 1, coins: tuple[str, ...] = ("BTC", "ETH"), empty_share: float = 0.0) -> None:
        """
        Args:
            seed: the same one makes the same market.
            coins: names as the exchange would write them; a delisted MATIC comes with them.
            empty_share: share of minutes without a trade, [0, 0.9].

        Raises:
            UserError: a share outside of that, or a name that no exchange has.
        """
        if not 0 <= empty_share <= 0.9:
            raise UserError(f"empty share {empty_share}: write a share of minutes between 0 and 0.9.")
        for coin in coins:
            if not coin.isalnum() or not coin.isascii() or not coin[0].isupper():
                raise UserError(f"coin {coin!r} is not a name such as BTC or ETH.", field="coin")
        known = {one.name: one for one in (BTC, ETH)}
        self._listings = {coin: known.get(coin, Listing(coin, 3, 2, 10)) for coin in coins} | {MATIC.name: MATIC}
        self._seeds = {coin: text_seed(seed, coin) for coin in coins}
        self._seed = seed
        self._empty_share = empty_share
        self._row = lru_cache(maxsize=32_768)(self._make_row)
        self._close = lru_cache(maxsize=1024)(self._make_close)

    @property
    def listings(self) -> Mapping[str, Listing]:
        return self._listings

    def minute(self, coin: str, minute: int) -> MinuteRow | None:
        return self._row(coin, minute) if coin in self._seeds else None

    def last_close(self, coin: str, minute: int) -> int | None:
        if coin not in self._seeds:
            return None
        for before in range(minute - 1, minute - _FURTHEST_WALK_BACK, -1):
            if not self._is_empty(coin, before):
                return self._close(coin, before)
        return None

    def begins(self, coin: str) -> int:  # noqa: ARG002 of none
        return 0

    def describe(self) -> str:
        empty = f", {self._empty_share:.1%} of minutes without trades" if self._empty_share else ""
        return f"made-up market, seed {self._seed} ({', '.join(self._seeds)}){empty}"

    def _make_row(self, coin: str, minute: int) -> MinuteRow | None:
        if self._is_empty(coin, minute):
            return None
        seed = self._seeds[coin]
        listing = self._listings[coin]
        close = self._close(coin, minute)
        before = self._close(coin, minute - 1)
        tick = max(1.0, before * _STEP)
        open_ = max(1, before + round((unit(seed + 1, minute) - 0.5) * 0.2 * tick))
        high = max(open_, close) + int(unit(seed + 2, minute) ** 3 * 1.5 * tick)
        low = max(1, min(open_, close) - int(unit(seed + 3, minute) ** 3 * 1.5 * tick))
        price = close / 10**listing.price_decimals
        busy = 2.0 ** (2 * smooth(seed + 4, minute, 720) + smooth(seed + 5, minute, 30))
        usual = _USUAL_TURNOVER / price * busy * (0.05 + 4 * unit(seed + 6, minute) ** 3)
        volume = max(1, round(usual * 10**listing.volume_decimals))
        trades = min(volume, 25 + int(90 * busy * (0.2 + unit(seed + 7, minute))))
        return MinuteRow(minute, open_, high, low, close, volume, trades)

    def _make_close(self, coin: str, minute: int) -> int:
        seed = self._seeds[coin]
        moved = math.fsum(
            _STEP * period**0.5 * smooth(seed + 16 + k, minute, period) for k, period in enumerate(_PERIODS)
        )
        # An odd function without a libm in it, so that every machine makes the same market; above -1 for all sums.
        factor = 1 + moved if moved >= 0 else 1 / (1 - moved)
        base = _BASE_PRICE.get(coin, _OTHER_BASE)
        return max(1, round(base * factor * 10.0 ** self._listings[coin].price_decimals))

    def _is_empty(self, coin: str, minute: int) -> bool:
        return self._empty_share > 0 and mixed(self._seeds[coin] + 8, minute) < self._empty_share * 2**64
