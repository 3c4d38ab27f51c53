"""Where the replay exchange plays which venue: paths on its one port. Both it and the clients' settings read this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from btc_pipeline.exchanges.addresses import Addresses

PATHS: Final[Mapping[str, Addresses]] = {
    "HYPERLIQUID": Addresses("/ws", ""),
    "BYBIT": Addresses("/bybit/v5/public/linear", "/bybit"),
    "BINANCE": Addresses("/binance/ws", "/binance", "/binance/archive"),
    "BINANCE_UM": Addresses("/binance-um/market/ws", "/binance-um", "/binance-um/archive"),
}


def replayed_addresses(venue: str, host: str, port: int) -> Addresses:
    """The addresses of a venue that the replay exchange plays.

    Raises:
        KeyError: it does not.
    """
    paths, at = PATHS[venue], f"{host}:{port}"
    archive = None if paths.archive_url is None else f"http://{at}{paths.archive_url}"
    return Addresses(f"ws://{at}{paths.websocket_url}", f"http://{at}{paths.api_url}", archive)
