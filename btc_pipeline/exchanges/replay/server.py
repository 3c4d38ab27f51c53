"""The replay exchange as a server: one port for sockets, REST, and its own control requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.addresses import Addresses
from btc_pipeline.exchanges.replay.behaviour import Behaviour
from btc_pipeline.exchanges.replay.binance import BinanceWire
from btc_pipeline.exchanges.replay.binance_flavour import SPOT, USD_M
from btc_pipeline.exchanges.replay.bybit import VENUE as BYBIT
from btc_pipeline.exchanges.replay.bybit import BybitWire
from btc_pipeline.exchanges.replay.connection import Connection, Talk
from btc_pipeline.exchanges.replay.control import PREFIX, Control, fault_json
from btc_pipeline.exchanges.replay.counters import Counters
from btc_pipeline.exchanges.replay.faults import Fault
from btc_pipeline.exchanges.replay.http import Answer, HttpRequest, HttpTalk
from btc_pipeline.exchanges.replay.hyperliquid import VENUE as HYPERLIQUID
from btc_pipeline.exchanges.replay.hyperliquid import HyperliquidWire
from btc_pipeline.exchanges.replay.market import Market
from btc_pipeline.exchanges.replay.sockets import Wire
from btc_pipeline.exchanges.replay.tape import Tape
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.exchanges.replay.websocket import WebSocketTalk
from btc_pipeline.exchanges.replayed import replayed_addresses
from btc_pipeline.timing.clock import Clock

LOOPBACK: Final = "127.0.0.1"


class ReplayExchange:
    """A local Hyperliquid, Bybit and Binance, which trade one market.

    Example:
        >>> exchange = ReplayExchange(SyntheticMarket(seed=1), clock)  # doctest: +SKIP
        >>> await exchange.start()  # doctest: +SKIP
        >>> exchange.inject(Fault(FaultKind.STALL, seconds=90))  # doctest: +SKIP
    """

    def __init__(self, market: Market, clock: Clock, behaviour: Behaviour | None = None) -> None:
        """
        Args:
            clock: the exchange's time, on the loop that it will run on.
            behaviour: the defaults are Hyperliquid's.
        """
        self.market = market
        chosen = behaviour or Behaviour()
        tape = Tape(market, chosen.frames_per_minute)

        def venue(name: str) -> Venue:
            return Venue(name, tape, clock, chosen, flat_minutes=name != HYPERLIQUID)

        self.venue = venue(HYPERLIQUID)
        self._wires: list[Wire] = [
            BybitWire(venue(BYBIT)),
            BinanceWire(venue(SPOT.venue), SPOT),
            BinanceWire(venue(USD_M.venue), USD_M),
            HyperliquidWire(self.venue),
        ]
        self._faults: list[Fault] = []
        self._control = Control(self.state, self.inject, self.clear_faults)
        self._connections: set[Connection] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._server: asyncio.Server | None = None
        self._host = LOOPBACK
        self._port = 0

    @property
    def port(self) -> int:
        return self._port

    @property
    def websocket_url(self) -> str:
        """Hyperliquid's."""
        return self.addresses(HYPERLIQUID).websocket_url

    @property
    def api_url(self) -> str:
        """Hyperliquid's, and where its own requests are."""
        return self.addresses(HYPERLIQUID).api_url

    @property
    def venues(self) -> Mapping[str, Venue]:
        """Every venue that it plays, by name."""
        return {wire.venue.name: wire.venue for wire in self._wires}

    def addresses(self, venue: str) -> Addresses:
        """Where a venue is.

        Raises:
            KeyError: it does not play it.
        """
        return replayed_addresses(venue, self._host, self._port)

    def counters_of(self, venue: str) -> Counters:
        """What was asked of a venue.

        Raises:
            KeyError: it does not play it.
        """
        return self.venues[venue].counters

    @property
    def counters(self) -> Counters:
        """Hyperliquid's."""
        return self.venue.counters

    @property
    def open_sockets(self) -> int:
        return sum(wire.open_sockets for wire in self._wires)

    async def start(self, host: str = LOOPBACK, port: int = 0) -> None:
        """Listens; with port 0 on a free one. After a stop it may be started again, on the same port.

        Raises:
            UserError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self._begin, self._connections), host, port or self._port
            )
        except OSError as error:
            raise UserError(
                f"{host}:{port} is not free ({error.strerror}); choose another port.", field="port"
            ) from error
        self._host, self._port = host, self._server.sockets[0].getsockname()[1]
        for fault in self._faults:
            self._plan(fault)

    async def stop(self) -> None:
        """Ends every connection at once, and listens no longer."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.abort()
        for wire in self._wires:
            wire.stop()
        await asyncio.sleep(0)

    def inject(self, fault: Fault) -> Fault:
        """Plans a fault, also before the start; gives it with its time."""
        planned = fault if fault.at is not None else replace(fault, at=self.venue.true_now())
        self._faults.append(planned)
        for wire in self._hit_by(planned):
            wire.venue.faults.add(planned)
        if self._server is not None:
            self._plan(planned)
        return planned

    def clear_faults(self) -> None:
        """Ends all faults, and forgets those to come."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        faults, self._faults = self._faults, []
        for wire in self._wires:
            wire.venue.faults.clear()
        for fault in faults:
            self._end_fault(fault)

    def state(self) -> dict[str, Any]:
        """Its time, market, faults and counters, ready for JSON."""
        return {
            "replay": True,
            "market": self.market.describe(),
            "time": self.venue.now(),
            "open_sockets": self.open_sockets,
            "faults": [fault_json(fault) for fault in sorted(self._faults, key=lambda fault: fault.at or 0.0)],
            "counters": self.counters.as_json(),
            "venues": {name: venue.counters.as_json() for name, venue in self.venues.items()},
        }

    def _plan(self, fault: Fault) -> None:
        now = self.venue.true_now()
        start = now if fault.at is None else fault.at
        end = start + fault.seconds
        if end < now:
            return
        loop = asyncio.get_running_loop()
        if start <= now:
            self._begin_fault(fault)
        else:
            self._timers.append(loop.call_later(start - now, self._begin_fault, fault))
        self._timers.append(loop.call_later(end - now, self._end_fault, fault))

    def _begin_fault(self, fault: Fault) -> None:
        for wire in self._hit_by(fault):
            wire.fault_began(fault)

    def _end_fault(self, fault: Fault) -> None:
        for wire in self._hit_by(fault):
            wire.fault_ended(fault)

    def _hit_by(self, fault: Fault) -> list[Wire]:
        return [wire for wire in self._wires if fault.venue in (None, wire.venue.name)]

    def _begin(self, connection: Connection, first_line: str) -> Talk:
        path = first_line.split(" ")[1] if first_line.count(" ") == 2 else ""
        path = path.partition("?")[0]
        for wire in self._wires:
            if wire.takes(path):
                return WebSocketTalk(connection, partial(wire.socket, path=path), partial(wire.admit, connection.peer))
        return HttpTalk(connection, self._answer)

    def _answer(self, request: HttpRequest) -> Answer:
        if request.path.startswith(PREFIX):
            return self._control.answer(request)
        return next(wire for wire in self._wires if wire.serves(request.path)).rest(request)
