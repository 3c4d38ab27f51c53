"""Several markets as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from btc_pipeline.exchanges.replay.market import Listing, Market, MinuteRow


class JointMarket:
    """The coins of all parts; of two with the same name, the earlier part's."""

    def __init__(self, parts: Sequence[Market]) -> None:
        self._parts = parts
        self._of_coin = {name: part for part in reversed(parts) for name in part.listings}
        self._listings = {name: listing for part in reversed(parts) for name, listing in part.listings.items()}

    @property
    def listings(self) -> Mapping[str, Listing]:
        return self._listings

    def minute(self, coin: str, minute: int) -> MinuteRow | None:
        part = self._of_coin.get(coin)
        return part.minute(coin, minute) if part else None

    def last_close(self, coin: str, minute: int) -> int | None:
        part = self._of_coin.get(coin)
        return part.last_close(coin, minute) if part else None

    def begins(self, coin: str) -> int:
        part = self._of_coin.get(coin)
        return part.begins(coin) if part else 0

    def describe(self) -> str:
        return "; ".join(part.describe() for part in self._parts)
