"""The replay exchange's Bybit: linear perpetuals, v5."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from btc_pipeline.exchanges.replay.bybit_feed import BybitFeed
from btc_pipeline.exchanges.replay.bybit_rest import BybitRest
from btc_pipeline.exchanges.replay.bybit_socket import BybitSocket
from btc_pipeline.exchanges.replay.http import Answer, HttpRequest
from btc_pipeline.exchanges.replay.limits import SlidingWindow
from btc_pipeline.exchanges.replay.market import Listing
from btc_pipeline.exchanges.replay.sockets import Wire
from btc_pipeline.exchanges.replay.subscription import Subscription
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.exchanges.replay.websocket import WebSocketTalk
from btc_pipeline.exchanges.replayed import PATHS

VENUE: Final = "BYBIT"
_MAX_CONNECTIONS: Final = 1000
_MAX_DIALS: Final = 500
_DIAL_SECONDS: Final = 300.0


class BybitWire(Wire):
    """Everything below Bybit's prefix."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue, _MAX_CONNECTIONS, SlidingWindow(_MAX_DIALS, _DIAL_SECONDS))
        self._rest = BybitRest(venue)

    def takes(self, path: str) -> bool:
        return path == PATHS[VENUE].websocket_url

    def serves(self, path: str) -> bool:
        return path.startswith(f"{PATHS[VENUE].api_url}/")

    def rest(self, request: HttpRequest) -> Answer:
        return self._rest.answer(request)

    def make_socket(self, talk: WebSocketTalk, path: str) -> BybitSocket:  # noqa: ARG002 there is one
        return BybitSocket(talk, self.venue, self, self.venue.counters.sockets)

    def make_feed(self, listing: Listing, wanted: Collection[Subscription]) -> BybitFeed:
        return BybitFeed(self.venue, listing, wanted, self.deliver)
