"""Bybit's REST, v5: minutes, instruments and the time. Its errors come with HTTP status 200."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from btc_pipeline.exchanges.replay.bybit_text import compact, kline_text
from btc_pipeline.exchanges.replay.faults import FaultKind
from btc_pipeline.exchanges.replay.http import HttpRequest, Reply
from btc_pipeline.exchanges.replay.instruments import QUOTE, instruments
from btc_pipeline.exchanges.replay.limits import SlidingWindow
from btc_pipeline.exchanges.replay.market import MINUTE_MS, Listing, epoch_ms
from btc_pipeline.exchanges.replay.numbers import plain_text
from btc_pipeline.exchanges.replay.rest import Pause, RestDesk
from btc_pipeline.exchanges.replay.venue import Venue

_ROOT: Final = "/bybit/v5/market/"
_KINDS: Final = ("kline", "time", "instruments-info")
_INTERVALS: Final = ("1", "3", "5", "15", "30", "60", "120", "240", "360", "720", "D", "W", "M")
_MOST: Final = 1000
_USUAL_ROWS: Final = 200
_USUAL_INSTRUMENTS: Final = 500
_MAX_REQUESTS: Final = 600
_REQUEST_SECONDS: Final = 5.0
_WRONG_PARAMETER: Final = 10_001
_TOO_MANY_VISITS: Final = 10_006


class _WrongParameterError(Exception):
    """A parameter that cannot be; the message is Bybit's."""


class BybitRest(RestDesk):
    """Answers `GET /v5/market/...`. A peer that asks too often is refused for minutes."""

    server_error = Reply(500, b"<html><body>500 Internal Server Error</body></html>", "text/html")

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._listings = instruments(venue.tape.listings)
        self._requests: dict[str, SlidingWindow] = defaultdict(lambda: SlidingWindow(_MAX_REQUESTS, _REQUEST_SECONDS))

    def kind_of(self, request: HttpRequest) -> str:
        kind = request.path.removeprefix(_ROOT)
        return kind if kind in _KINDS else "unknown"

    def charged(self, request: HttpRequest, kind: str) -> tuple[Reply, int]:
        if not self._requests[request.peer].take(self._venue.true_now()):
            return self.banned(self._venue.behaviour.refusal_seconds), 0
        if kind == "unknown" or request.method != "GET":
            return Reply(404, b"404 page not found", "text/plain"), 1
        asked = dict(parse_qsl(request.query, keep_blank_values=True))
        try:
            if kind == "kline":
                return self._klines(asked), 1
            if kind == "instruments-info":
                return self._instruments(asked), 1
        except _WrongParameterError as error:
            return self._reply(_WRONG_PARAMETER, str(error)), 1
        return self._time(), 1

    def rate_limited(self, seconds: float) -> Reply:  # noqa: ARG002 nobody is told how long
        self._venue.counters.rate_limited += 1
        return self._reply(_TOO_MANY_VISITS, "Too many visits. Exceeded the API Rate Limit.")

    def banned(self, seconds: float) -> Reply:  # noqa: ARG002 everybody for the same time
        pause = self._venue.behaviour.refusal_seconds
        return Reply(403, b"403, access too frequent. Please try your request again later.", "text/plain", pause=pause)

    def insisted(self, peer: str, pause: Pause, now: float) -> Reply:  # noqa: ARG002 never longer for it
        return Reply(403, b"403, access too frequent. Please try your request again later.", "text/plain")

    def _klines(self, asked: Mapping[str, str]) -> Reply:
        _check_category(asked)
        listing = self._listings.get(asked.get("symbol", ""))
        if listing is None:
            raise _WrongParameterError("params error: symbol invalid")
        if asked.get("interval") not in _INTERVALS:
            raise _WrongParameterError("params error: interval invalid")
        if asked["interval"] != "1":
            raise _WrongParameterError("params error: interval invalid, the replay exchange has 1 alone")
        limit = _whole(asked, "limit", _USUAL_ROWS)
        start, end = _whole(asked, "start", 0), _whole(asked, "end", 0)
        now = self._venue.now() - self._venue.amount(FaultKind.STALE_REST)
        rows = []
        if not listing.delisted:
            rows = self._venue.history.page(
                listing.name,
                -(-start // MINUTE_MS),
                (end if "end" in asked else epoch_ms(now)) // MINUTE_MS,
                now,
                most=min(limit, _MOST),
                newest="end" in asked or "start" not in asked,
            )
        tape = self._venue.tape
        texts = ",".join(kline_text(row, tape.flow(listing.name, row), listing) for row in reversed(rows))
        name = asked["symbol"]
        return self._text(0, "OK", f'{{"symbol":"{name}","category":"linear","list":[{texts}]}}')

    def _instruments(self, asked: Mapping[str, str]) -> Reply:
        _check_category(asked)
        wanted = list(self._listings.items())
        if "symbol" in asked:
            wanted = [(name, listing) for name, listing in wanted if name == asked["symbol"]]
            if not wanted:
                raise _WrongParameterError("params error: symbol invalid")
        limit = min(_whole(asked, "limit", _USUAL_INSTRUMENTS), _MOST)
        first = _whole(asked, "cursor", 0) if asked.get("cursor") else 0
        after = first + limit
        page = [_instrument(name, listing) for name, listing in wanted[first:after]]
        cursor = str(after) if limit and after < len(wanted) else ""
        return self._reply(0, "OK", {"category": "linear", "list": page, "nextPageCursor": cursor})

    def _time(self) -> Reply:
        now = epoch_ms(self._venue.now())
        return self._reply(0, "OK", {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)})

    def _reply(self, code: int, words: str, result: Mapping[str, Any] | None = None) -> Reply:
        return self._text(code, words, compact(result or {}).decode())

    def _text(self, code: int, words: str, result: str) -> Reply:
        time = epoch_ms(self._venue.now())
        return Reply(
            200, f'{{"retCode":{code},"retMsg":"{words}","result":{result},"retExtInfo":{{}},"time":{time}}}'.encode()
        )


def _check_category(asked: Mapping[str, str]) -> None:
    if asked.get("category") != "linear":
        raise _WrongParameterError("Illegal category")


def _whole(asked: Mapping[str, str], name: str, usual: int) -> int:
    text = asked.get(name, str(usual))
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise _WrongParameterError(f"params error: {name} invalid")
    return int(text)


def _instrument(name: str, listing: Listing) -> dict[str, Any]:
    return {
        "symbol": name,
        "contractType": "LinearPerpetual",
        "status": "Closed" if listing.delisted else "Trading",
        "baseCoin": listing.name,
        "quoteCoin": QUOTE,
        "settleCoin": QUOTE,
        "priceScale": str(listing.price_decimals),
        "priceFilter": {"tickSize": plain_text(1, listing.price_decimals)},
        "lotSizeFilter": {"qtyStep": plain_text(1, listing.volume_decimals)},
    }
