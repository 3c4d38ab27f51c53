"""The replay exchange's Hyperliquid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Final

from btc_pipeline.exchanges.replay.http import Answer, HttpRequest
from btc_pipeline.exchanges.replay.hyperliquid_feed import CoinFeed
from btc_pipeline.exchanges.replay.hyperliquid_info import HyperliquidInfo
from btc_pipeline.exchanges.replay.hyperliquid_socket import HyperliquidSocket
from btc_pipeline.exchanges.replay.limits import SlidingWindow
from btc_pipeline.exchanges.replay.market import Listing
from btc_pipeline.exchanges.replay.sockets import Wire
from btc_pipeline.exchanges.replay.subscription import Subscription
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.exchanges.replay.websocket import WebSocketTalk
from btc_pipeline.exchanges.replayed import PATHS

VENUE: Final = "HYPERLIQUID"


class HyperliquidWire(Wire):
    """`/ws` and `/info`; every path that is no other venue's is this one's."""

    def __init__(self, venue: Venue) -> None:
        limits = venue.behaviour
        super().__init__(venue, limits.max_connections, SlidingWindow(limits.max_dials_per_minute))
        self._info = HyperliquidInfo(venue)
        self._messages: dict[str, SlidingWindow] = defaultdict(lambda: SlidingWindow(limits.max_messages_per_minute))

    def takes(self, path: str) -> bool:
        return path == PATHS[VENUE].websocket_url

    def serves(self, path: str) -> bool:  # noqa: ARG002 whatever no other does
        return True

    def rest(self, request: HttpRequest) -> Answer:
        return self._info.answer(request)

    def make_socket(self, talk: WebSocketTalk, path: str) -> HyperliquidSocket:  # noqa: ARG002 there is one
        return HyperliquidSocket(talk, self.venue, self, self._messages[talk.line.peer])

    def make_feed(self, listing: Listing, wanted: Collection[Subscription]) -> CoinFeed:
        return CoinFeed(self.venue, listing, wanted, self.deliver)
