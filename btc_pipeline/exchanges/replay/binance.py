"""The replay exchange's Binance, spot or USD-M futures."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from btc_pipeline.exchanges.replay.binance_archive import BinanceArchive
from btc_pipeline.exchanges.replay.binance_feed import KlineFeed
from btc_pipeline.exchanges.replay.binance_flavour import Flavour
from btc_pipeline.exchanges.replay.binance_rest import BinanceRest
from btc_pipeline.exchanges.replay.binance_socket import BinanceSocket
from btc_pipeline.exchanges.replay.http import Answer, HttpRequest
from btc_pipeline.exchanges.replay.limits import SlidingWindow
from btc_pipeline.exchanges.replay.market import Listing
from btc_pipeline.exchanges.replay.sockets import Wire
from btc_pipeline.exchanges.replay.subscription import Subscription
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.exchanges.replay.websocket import WebSocketTalk

_MAX_CONNECTIONS: Final = 1000
_MAX_DIALS: Final = 300
_DIAL_SECONDS: Final = 300.0


class BinanceWire(Wire):
    """Everything below the flavour's prefix."""

    def __init__(self, venue: Venue, flavour: Flavour) -> None:
        super().__init__(venue, _MAX_CONNECTIONS, SlidingWindow(_MAX_DIALS, _DIAL_SECONDS))
        self._flavour = flavour
        self._rest = BinanceRest(venue, flavour)
        self._archive = BinanceArchive(venue, flavour)

    def takes(self, path: str) -> bool:
        return any(path == own or path.startswith(f"{own}/") for own in self._flavour.socket_paths)

    def serves(self, path: str) -> bool:
        return path.startswith(f"{self._flavour.prefix}/")

    def rest(self, request: HttpRequest) -> Answer:
        desk = self._archive if request.path.startswith(f"{self._flavour.archive_prefix}/") else self._rest
        return desk.answer(request)

    def stop(self) -> None:
        super().stop()
        self._archive.stop()

    def make_socket(self, talk: WebSocketTalk, path: str) -> BinanceSocket:
        own = next(own for own in self._flavour.socket_paths if path == own or path.startswith(f"{own}/"))
        streams = [stream for stream in path.removeprefix(own).split("/") if stream]
        return BinanceSocket(talk, self.venue, self, self._flavour, streams, silent=own != self._flavour.socket_path)

    def make_feed(self, listing: Listing, wanted: Collection[Subscription]) -> KlineFeed:
        return KlineFeed(self.venue, listing, wanted, self.deliver, self._flavour.padding)
