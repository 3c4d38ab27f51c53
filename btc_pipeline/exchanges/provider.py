"""A venue as the product knows it: its name, where it is, and the clients that speak to it.

One `Provider` a venue. The built-in ones are registered in `venues`; a file in the user's folder (`venues_folder`) adds
another, or several in `PROVIDERS`. Its symbols are NAME.VENUE, its addresses can be changed by settings as any other's.

Example:
    `venues/bitstamp.py`, for BTCUSD.BITSTAMP. `BitstampRest` has the methods of `base.VenueRest`, `BitstampStream`
    those of `base.VenueStream`; `asking.Asking` keeps a budget and turns answers into errors, `frames` and `decimals`
    read rows::

        PROVIDER = Provider(
            name="BITSTAMP",
            title="Bitstamp",
            example="BTCUSD",
            addresses=Addresses("wss://ws.bitstamp.net", "https://www.bitstamp.net"),
            rest=lambda at, clock: BitstampRest(at.api_url, clock),
            stream=lambda at: BitstampStream(at.websocket_url),
        )
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from btc_pipeline.exchanges.addresses import Addresses
from btc_pipeline.exchanges.base import VenueRest, VenueStream
from btc_pipeline.timing.clock import Clock


@dataclass(frozen=True, slots=True)
class Outage:
    """The epoch minutes [start, end) of which a venue has no candles and never will; where that is said."""

    start: int
    end: int
    source: str


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of a venue's public archive: 1m candles of the epoch minutes [start, end).

    Attributes:
        name: the file's own, such as BTCUSDT-1m-2024-12.zip.
        checksum_url: of the text that holds its SHA-256, in the format of sha256sum.
    """

    name: str
    url: str
    checksum_url: str
    start: int
    end: int


class VenueArchive(Protocol):
    """A venue's public files."""

    def files(self, coin: str, start: int, end: int, now: int) -> Sequence[ArchiveFile]:
        """The files that hold the epoch minutes [start, end) as of `now`, ascending and disjoint.

        Months that have been published whole, then days. What is not in a file yet is REST's to tell. A file may not
        be there all the same: a coin that was listed later, a day that is late.
        """


@dataclass(frozen=True, slots=True)
class Provider:
    """A venue.

    Attributes:
        name: as symbols name it, in capitals: BINANCE.
        title: for people: Binance spot.
        example: the venue's own name of a Bitcoin instrument: BTCUSDT.
        addresses: where it is, unless settings say otherwise.
        rest, stream: make a client for addresses.
        archive: gives its public files, where it has any.
        outages: spans in which it is known to have no candles.
    """

    name: str
    title: str
    example: str
    addresses: Addresses
    rest: Callable[[Addresses, Clock], VenueRest]
    stream: Callable[[Addresses], VenueStream]
    archive: Callable[[Addresses], VenueArchive] | None = None
    outages: Sequence[Outage] = ()
