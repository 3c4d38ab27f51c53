"""Binance's REST: klines, instruments, prices and the time, with weights, pauses and bans."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from btc_pipeline.exchanges.replay.binance_flavour import SPOT, Flavour
from btc_pipeline.exchanges.replay.binance_text import KlineText
from btc_pipeline.exchanges.replay.faults import FaultKind
from btc_pipeline.exchanges.replay.http import HttpRequest, Reply
from btc_pipeline.exchanges.replay.instruments import QUOTE, instruments
from btc_pipeline.exchanges.replay.limits import SlidingWindow
from btc_pipeline.exchanges.replay.market import MINUTE_MS, Listing, epoch_ms
from btc_pipeline.exchanges.replay.numbers import padded_text
from btc_pipeline.exchanges.replay.rest import Pause, RestDesk
from btc_pipeline.exchanges.replay.venue import Venue

_KINDS: Final = ("klines", "time", "exchangeInfo", "ticker/price")
_USUAL_ROWS: Final = 500
_LONGEST_BAN_SECONDS: Final = 259_200.0
_INTERVALS: Final = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")


class BinanceRest(RestDesk):
    """Answers `GET {root}/...`. A peer that goes on asking during the pause of a 429 is banned."""

    server_error = Reply(500, b'{"code":-1000,"msg":"An unknown error occurred while processing the request."}')

    def __init__(self, venue: Venue, flavour: Flavour) -> None:
        super().__init__(venue)
        self._flavour = flavour
        self._listings = instruments(venue.tape.listings)
        self._weights: dict[str, SlidingWindow] = defaultdict(lambda: SlidingWindow(flavour.weight_per_minute))
        self._bans: dict[str, int] = defaultdict(int)

    def kind_of(self, request: HttpRequest) -> str:
        kind = request.path.removeprefix(f"{self._flavour.prefix}{self._flavour.root}/")
        return kind if kind in _KINDS else "unknown"

    def charged(self, request: HttpRequest, kind: str) -> tuple[Reply, int]:
        if kind == "unknown":
            return Reply(404, b"<html><body>404 Not found</body></html>", "text/html"), 0
        if request.method != "GET":
            return Reply(405, b"", "text/html"), 0
        asked = dict(parse_qsl(request.query, keep_blank_values=True))
        limit = _whole(asked.get("limit", str(_USUAL_ROWS)))
        weight = self._flavour.weight_of(kind, limit or 0)
        now, window = self._venue.true_now(), self._weights[request.peer]
        if not window.take(now, weight):
            return self.rate_limited(window.seconds_until(now, weight)), 0
        reply = self._answer(kind, asked, limit)
        used = ("x-mbx-used-weight-1m", str(window.used(now)))
        return Reply(reply.status, reply.body, headers=(used,)), weight

    def rate_limited(self, seconds: float) -> Reply:
        used = self._flavour.weight_per_minute
        words = f"Too much request weight used; current limit is {used} request weight per 1 MINUTE. Please use "
        text = words + "WebSocket Streams for live updates to avoid polling the API."
        return _to_wait(429, seconds, -1003, text, pause=True)

    def banned(self, seconds: float) -> Reply:
        return self._ban(seconds, pause=True)

    def insisted(self, peer: str, pause: Pause, now: float) -> Reply:
        if pause.banned:
            return self._ban(pause.until - now, pause=False)
        if not pause.ignored(now):
            return _to_wait(429, pause.until - now, -1003, "Too many requests.", pause=False)
        seconds = self._venue.behaviour.ban_seconds * 2.0 ** self._bans[peer]
        self._bans[peer] += 1
        return self._ban(min(seconds, _LONGEST_BAN_SECONDS), pause=True)

    def _ban(self, seconds: float, *, pause: bool) -> Reply:
        until = epoch_ms(self._venue.now() + seconds)
        text = (
            f"Way too much request weight used; IP banned until {until}. Please use WebSocket Streams for live updates."
        )
        return _to_wait(418, seconds, -1003, text, pause=pause)

    def _answer(self, kind: str, asked: Mapping[str, str], limit: int | None) -> Reply:
        if kind == "klines":
            return self._klines(asked, limit)
        if kind == "exchangeInfo":
            return self._exchange_info(asked)
        if kind == "ticker/price":
            return self._prices(asked)
        return _json({"serverTime": epoch_ms(self._venue.now())})

    def _klines(self, asked: Mapping[str, str], limit: int | None) -> Reply:
        start, end = (_whole(asked.get(name, "0")) for name in ("startTime", "endTime"))
        if limit is None or start is None or end is None:
            return _illegal("limit" if limit is None else "startTime" if start is None else "endTime")
        refusal = self._refusal(asked)
        if refusal is not None:
            return refusal
        listing = self._listings[asked["symbol"]]
        if listing.delisted or not limit:
            return Reply(200, b"[]")
        now = self._venue.now() - self._venue.amount(FaultKind.STALE_REST)
        last = end // MINUTE_MS if "endTime" in asked else epoch_ms(now) // MINUTE_MS
        rows = self._venue.history.page(
            listing.name,
            -(-start // MINUTE_MS),
            last,
            now,
            most=min(limit, self._flavour.most_rows),
            newest="startTime" not in asked,
        )
        text = KlineText(listing, self._flavour.padding)
        tape = self._venue.tape
        return Reply(200, f"[{','.join(text.rest(row, tape.flow(listing.name, row)) for row in rows)}]".encode())

    def _refusal(self, asked: Mapping[str, str]) -> Reply | None:
        """What a request for klines is answered whose symbol or interval cannot be."""
        for name in ("symbol", "interval"):
            if not asked.get(name):
                return _error(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        if asked["symbol"] not in self._listings:
            return _NO_SUCH_SYMBOL
        if asked["interval"] not in _INTERVALS:
            return _error(-1120, "Invalid interval.")
        if asked["interval"] != "1m":
            return _error(-1120, "Invalid interval: the replay exchange has 1m alone.")
        return None

    def _exchange_info(self, asked: Mapping[str, str]) -> Reply:
        wanted = self._listings
        if "symbol" in asked and self._flavour is SPOT:
            if asked["symbol"] not in wanted:
                return _NO_SUCH_SYMBOL
            wanted = {asked["symbol"]: wanted[asked["symbol"]]}
        limit = {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": self._flavour.weight_per_minute,
        }
        symbols = [self._symbol(name, listing) for name, listing in wanted.items()]
        time = epoch_ms(self._venue.now())
        return _json({"timezone": "UTC", "serverTime": time, "rateLimits": [limit], "symbols": symbols})

    def _symbol(self, name: str, listing: Listing) -> dict[str, Any]:
        price = max(self._flavour.padding, listing.price_decimals)
        volume = max(self._flavour.padding, listing.volume_decimals)
        tick, step = padded_text(1, listing.price_decimals, price), padded_text(1, listing.volume_decimals, volume)
        return {
            "symbol": name,
            "status": self._flavour.break_status if listing.delisted else "TRADING",
            "baseAsset": listing.name,
            "quoteAsset": QUOTE,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00", "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000.00", "stepSize": step},
            ],
        } | ({} if self._flavour is SPOT else {"pair": name, "contractType": "PERPETUAL"})

    def _prices(self, asked: Mapping[str, str]) -> Reply:
        wanted = asked.get("symbol")
        if wanted is not None and wanted not in self._listings:
            return _NO_SUCH_SYMBOL
        found = []
        for name, listing in self._listings.items():
            price = self._venue.tape.last_price(listing.name, self._venue.now())
            if price is not None and wanted in (None, name):
                text = padded_text(price, listing.price_decimals, max(self._flavour.padding, listing.price_decimals))
                found.append({"symbol": name, "price": text})
        return _json(found[0] if wanted is not None and found else found)


def _whole(text: str) -> int | None:
    """A number as Binance takes it; None if it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None


def _to_wait(status: int, seconds: float, code: int, words: str, *, pause: bool) -> Reply:
    whole = max(1, math.ceil(seconds))
    body = json.dumps({"code": code, "msg": words}, separators=(",", ":")).encode()
    return Reply(status, body, headers=(("retry-after", str(whole)),), pause=float(whole) if pause else 0.0)


def _illegal(name: str) -> Reply:
    return _error(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")


def _error(code: int, words: str) -> Reply:
    return Reply(400, json.dumps({"code": code, "msg": words}, separators=(",", ":")).encode())


_NO_SUCH_SYMBOL: Final = _error(-1121, "Invalid symbol.")


def _json(value: Any) -> Reply:
    return Reply(200, json.dumps(value, separators=(",", ":")).encode())
