"""The replay exchange as a server: one port for sockets, REST, and its own control requests."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay.behaviour import Behaviour
from btc_pipeline.exchanges.replay.connection import Connection, Talk
from btc_pipeline.exchanges.replay.control import PREFIX, Control, fault_json
from btc_pipeline.exchanges.replay.counters import Counters
from btc_pipeline.exchanges.replay.faults import Fault
from btc_pipeline.exchanges.replay.http import HttpRequest, HttpTalk, Reply
from btc_pipeline.exchanges.replay.hyperliquid import HyperliquidWire
from btc_pipeline.exchanges.replay.market import Market
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.exchanges.replay.websocket import WebSocketTalk
from btc_pipeline.timing.clock import Clock

LOOPBACK: Final = "127.0.0.1"


class ReplayExchange:
    """A local Hyperliquid.

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
        self.venue = Venue(market, clock, behaviour or Behaviour())
        self._wire = HyperliquidWire(self.venue)
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
        return f"ws://{self._host}:{self._port}{self._wire.socket_path}"

    @property
    def api_url(self) -> str:
        return f"http://{self._host}:{self._port}"

    @property
    def counters(self) -> Counters:
        return self.venue.counters

    @property
    def open_sockets(self) -> int:
        return self._wire.open_sockets

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
        for fault in self.venue.faults.all():
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
        self._wire.stop()
        await asyncio.sleep(0)

    def inject(self, fault: Fault) -> Fault:
        """Plans a fault, also before the start; gives it with its time."""
        planned = fault if fault.at is not None else replace(fault, at=self.venue.true_now())
        self.venue.faults.add(planned)
        if self._server is not None:
            self._plan(planned)
        return planned

    def clear_faults(self) -> None:
        """Ends all faults, and forgets those to come."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        faults = self.venue.faults.all()
        self.venue.faults.clear()
        for fault in faults:
            self._wire.fault_ended(fault)

    def state(self) -> dict[str, Any]:
        """Its time, market, faults and counters, ready for JSON."""
        return {
            "replay": True,
            "market": self.market.describe(),
            "time": self.venue.now(),
            "open_sockets": self.open_sockets,
            "faults": [fault_json(fault) for fault in self.venue.faults.all()],
            "counters": self.counters.as_json(),
        }

    def _plan(self, fault: Fault) -> None:
        now = self.venue.true_now()
        start = now if fault.at is None else fault.at
        end = start + fault.seconds
        if end < now:
            return
        loop = asyncio.get_running_loop()
        if start <= now:
            self._wire.fault_began(fault)
        else:
            self._timers.append(loop.call_later(start - now, self._wire.fault_began, fault))
        self._timers.append(loop.call_later(end - now, self._wire.fault_ended, fault))

    def _begin(self, connection: Connection, first_line: str) -> Talk:
        path = first_line.split(" ")[1] if first_line.count(" ") == 2 else ""
        if path.partition("?")[0] == self._wire.socket_path:
            return WebSocketTalk(connection, self._wire.socket, lambda: self._wire.admit(connection.peer))
        return HttpTalk(connection, self._answer)

    def _answer(self, request: HttpRequest) -> Reply:
        return self._control.answer(request) if request.path.startswith(PREFIX) else self._wire.rest(request)
