"""Hyperliquid's REST, `POST /info`: requests, weights, and its ways to refuse."""

from __future__ import annotations

import json
from typing import Any, Final, TypeGuard

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay.faults import FaultKind
from btc_pipeline.exchanges.replay.http import HttpRequest, Reply
from btc_pipeline.exchanges.replay.hyperliquid_text import candle_text, compact
from btc_pipeline.exchanges.replay.intervals import MINUTES_OF
from btc_pipeline.exchanges.replay.limits import SlidingWindow
from btc_pipeline.exchanges.replay.market import epoch_ms
from btc_pipeline.exchanges.replay.numbers import decimal_text
from btc_pipeline.exchanges.replay.rest import RestDesk
from btc_pipeline.exchanges.replay.venue import Venue

MALFORMED: Final = Reply(422, b"Failed to deserialize the JSON body into the target type", "text/plain; charset=utf-8")
TOO_MANY: Final = Reply(429, b"null")
NO_SUCH_COIN: Final = Reply(500, b"null")

_WEIGHTS: Final = {"candleSnapshot": 20, "meta": 20, "spotMeta": 20, "allMids": 2, "exchangeStatus": 2}
_ROWS_PER_WEIGHT: Final = 60
_SPOT_META: Final = {
    "tokens": [
        {"name": "USDC", "szDecimals": 8, "weiDecimals": 8, "index": 0, "isCanonical": True},
        {"name": "UBTC", "szDecimals": 5, "weiDecimals": 10, "index": 197, "isCanonical": False},
    ],
    "universe": [{"tokens": [197, 0], "name": "@142", "index": 142, "isCanonical": False}],
}


class HyperliquidInfo(RestDesk):
    """Answers requests; charges them to one address, whose weight of the last minute is limited."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._weights = SlidingWindow(venue.behaviour.weight_per_minute)

    def kind_of(self, request: HttpRequest) -> str:
        body = _parse(request.body)
        kind = body.get("type") if isinstance(body, dict) else None
        return kind if isinstance(kind, str) else "unreadable"

    def rate_limited(self, seconds: float) -> Reply:  # noqa: ARG002 nobody is told how long
        return TOO_MANY

    def charged(self, request: HttpRequest, kind: str) -> tuple[Reply, int]:
        if request.path != "/info":
            return Reply(404, b"not found", "text/plain"), 0
        if request.method != "POST":
            return Reply(405, b"", "text/plain"), 0
        reply, weight = self._answer(kind, _parse(request.body))
        if not self._weights.take(self._venue.true_now(), weight):
            return TOO_MANY, 0
        return reply, weight

    def _answer(self, kind: str, body: Any) -> tuple[Reply, int]:
        weight = _WEIGHTS.get(kind, 0)
        if kind == "candleSnapshot":
            reply, rows = self._candles(body.get("req"))
            return reply, weight + rows // _ROWS_PER_WEIGHT
        if kind == "exchangeStatus":
            return _json({"specialStatuses": None, "time": epoch_ms(self._venue.now())}), weight
        if kind == "meta":
            return _json(self._meta()), weight
        if kind == "spotMeta":
            return _json(_SPOT_META), weight
        if kind == "allMids":
            return _json(self._mids()), weight
        return MALFORMED, 0

    def _candles(self, wanted: Any) -> tuple[Reply, int]:
        """The answer and its number of rows."""
        request = _candle_request(wanted)
        if request is None:
            return MALFORMED, 0
        coin, interval, start, end = request
        listing = self._venue.tape.listings.get(coin)
        if listing is None:
            return NO_SUCH_COIN, 0
        if listing.delisted:
            return Reply(200, b"[]"), 0
        now = self._venue.now() - self._venue.amount(FaultKind.STALE_REST)
        try:
            rows = self._venue.history.bars(coin, interval, start, end, now)
        except UserError as error:
            return Reply(422, str(error).encode(), "text/plain; charset=utf-8"), 0
        texts = ",".join(candle_text(row, listing, interval) for row in rows)
        return Reply(200, f"[{texts}]".encode()), len(rows)

    def _meta(self) -> dict[str, Any]:
        universe = []
        for listing in self._venue.tape.listings.values():
            entry: dict[str, Any] = {
                "szDecimals": listing.volume_decimals,
                "name": listing.name,
                "maxLeverage": listing.max_leverage,
                "marginTableId": 50 + listing.max_leverage % 10,
            }
            universe.append(entry | ({"isDelisted": True} if listing.delisted else {}))
        return {"universe": universe, "marginTables": []}

    def _mids(self) -> dict[str, str]:
        now = self._venue.now()
        tape = self._venue.tape
        prices = {name: (tape.last_price(name, now), listing) for name, listing in tape.listings.items()}
        return {
            name: decimal_text(price, listing.price_decimals)
            for name, (price, listing) in prices.items()
            if price is not None and not listing.delisted
        }


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _candle_request(wanted: Any) -> tuple[str, str, int, int] | None:
    """Coin, interval, start and end in epoch milliseconds; None if it is none."""
    if not isinstance(wanted, dict):
        return None
    coin, interval = wanted.get("coin"), wanted.get("interval")
    start, end = wanted.get("startTime"), wanted.get("endTime")
    if not isinstance(coin, str) or not isinstance(interval, str) or interval not in MINUTES_OF:
        return None
    return (coin, interval, start, end) if _is_time(start) and _is_time(end) else None


def _json(value: Any) -> Reply:
    return Reply(200, compact(value))


def _is_time(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
