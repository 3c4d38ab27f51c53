"""An exchange of our own that speaks a real one's wire, served from a candle file or from a made-up market.

Belongs here: markets (what is traded: `market`, `synthetic`, `file_market`), the venue (what an exchange knows of its
market at a moment: `venue`, `paths`, `tape`, `history`), faults on command, what all wires have in common (`sockets`,
`socket`, `feed`, `rest`, `garbage`), and one module group for each wire (`hyperliquid_*`, `bybit_*`, `binance_*`) over
one server (`server`, `connection`, `http`, `websocket`). Does not belong here: anything that the collector or a
venue's client uses to read; what is made here must be read by code that never saw it.
"""

from btc_pipeline.exchanges.replay.behaviour import Behaviour, EmptyMinute, PongFrames
from btc_pipeline.exchanges.replay.faults import Fault, FaultKind, random_faults
from btc_pipeline.exchanges.replay.market import Listing, Market, MinuteRow
from btc_pipeline.exchanges.replay.server import ReplayExchange
from btc_pipeline.exchanges.replay.synthetic import SyntheticMarket

__all__ = [
    "Behaviour",
    "EmptyMinute",
    "Fault",
    "FaultKind",
    "Listing",
    "Market",
    "MinuteRow",
    "PongFrames",
    "ReplayExchange",
    "SyntheticMarket",
    "random_faults",
]
