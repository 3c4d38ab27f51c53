"""Binance's two markets: one wire with different paths, limits and habits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from btc_pipeline.exchanges.replayed import PATHS

_DAY: Final = 1440
_MICROSECONDS_SINCE: Final = 20_089 * _DAY
"""2025-01-01."""


@dataclass(frozen=True, slots=True)
class Flavour:
    """One of Binance's markets.

    Attributes:
        venue: its name.
        root: what its REST paths begin with, behind the prefix of all of its paths.
        legacy_socket_path: takes sockets and subscriptions, and never sends data.
        padding: how many decimals every number has at least.
        most_rows: of one request for klines.
        weight_per_minute: what a peer may use within a minute.
        ping_seconds, pong_seconds: how often it pings, and how long it waits for the answer.
        archive_folder: of its files, behind `data/`.
        archive_header: whether its files begin with the names of their columns.
        microseconds_from: the epoch minute from which on its files tell times in microseconds.
        break_status: of an instrument that is no longer traded.
    """

    venue: str
    root: str
    legacy_socket_path: str | None
    padding: int
    most_rows: int
    weight_per_minute: int
    ping_seconds: float
    pong_seconds: float
    archive_folder: str
    archive_header: bool
    microseconds_from: int | None
    break_status: str

    @property
    def prefix(self) -> str:
        return PATHS[self.venue].api_url

    @property
    def socket_path(self) -> str:
        return PATHS[self.venue].websocket_url

    @property
    def socket_paths(self) -> tuple[str, ...]:
        """Where sockets are taken, the one with data first."""
        return (self.socket_path, *([self.legacy_socket_path] if self.legacy_socket_path else []))

    @property
    def archive_prefix(self) -> str:
        path = PATHS[self.venue].archive_url
        assert path is not None  # noqa: S101 both have one
        return path

    def weight_of(self, kind: str, limit: int) -> int:
        """What a request costs; the limit is that of klines."""
        if self.root == SPOT.root:
            return {"klines": 2, "exchangeInfo": 20, "time": 1, "ticker/price": 4}.get(kind, 1)
        if kind != "klines":
            return 2 if kind == "ticker/price" else 1
        return next((weight for below, weight in ((100, 1), (500, 2), (1001, 5)) if limit < below), 10)


SPOT: Final = Flavour(
    venue="BINANCE",
    root="/api/v3",
    legacy_socket_path=None,
    padding=8,
    most_rows=1000,
    weight_per_minute=6000,
    ping_seconds=20.0,
    pong_seconds=60.0,
    archive_folder="spot",
    archive_header=False,
    microseconds_from=_MICROSECONDS_SINCE,
    break_status="BREAK",
)
USD_M: Final = Flavour(
    venue="BINANCE_UM",
    root="/fapi/v1",
    legacy_socket_path="/binance-um/ws",
    padding=0,
    most_rows=1500,
    weight_per_minute=2400,
    ping_seconds=180.0,
    pong_seconds=600.0,
    archive_folder="futures/um",
    archive_header=True,
    microseconds_from=None,
    break_status="SETTLING",
)
