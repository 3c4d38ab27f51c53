"""Which venues there are, and where each is: by the settings, or all on this machine in a replay."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from btc_pipeline.errors import UnknownNameError, UserError
from btc_pipeline.exchanges.addresses import Addresses
from btc_pipeline.exchanges.base import VenueRest, VenueStream
from btc_pipeline.exchanges.hyperliquid.provider import PROVIDER as HYPERLIQUID
from btc_pipeline.exchanges.provider import Provider, VenueArchive
from btc_pipeline.exchanges.replayed import PATHS, replayed_addresses
from btc_pipeline.settings import Settings
from btc_pipeline.timing.clock import Clock

BUILT_IN: Final = (HYPERLIQUID,)


def providers(settings: Settings) -> dict[str, Provider]:
    """Every venue by name, at the addresses that hold for this process."""
    return {provider.name: replace(provider, addresses=_addresses(settings, provider)) for provider in BUILT_IN}


def find_provider(settings: Settings, venue: str) -> Provider | None:
    """The venue of that name; None for a venue whose rows can only be imported."""
    return providers(settings).get(venue)


def require_provider(settings: Settings, venue: str, symbol: str) -> Provider:
    """The venue of that name.

    Raises:
        UnknownNameError: there is none; the message names the symbol, offers the nearest venue and lists all.
        UserError: the replay exchange does not play it.
    """
    known = providers(settings)
    if venue not in known:
        near = get_close_matches(venue, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        listed = ", ".join(f"{one.name} ({one.title})" for one in known.values())
        raise UnknownNameError(
            f"symbol {symbol!r}: there is no client for {venue}; {hint}There are {listed}.", field="symbol"
        )
    if settings.feed == "replay" and venue not in PATHS:
        raise UserError(f"symbol {symbol!r}: the replay exchange does not play {venue}.", field="symbol")
    return known[venue]


def rest_client(settings: Settings, venue: str, clock: Clock) -> VenueRest | None:
    """The REST client of a venue; None for a venue without one."""
    provider = find_provider(settings, venue)
    return None if provider is None else provider.rest(provider.addresses, clock)


def stream_client(settings: Settings, venue: str) -> VenueStream | None:
    """The WebSocket client of a venue; None for a venue without one."""
    provider = find_provider(settings, venue)
    return None if provider is None else provider.stream(provider.addresses)


def archive_of(settings: Settings, venue: str) -> VenueArchive | None:
    """The public files of a venue; None for a venue without any."""
    provider = find_provider(settings, venue)
    if provider is None or provider.archive is None:
        return None
    return provider.archive(provider.addresses)


def _addresses(settings: Settings, provider: Provider) -> Addresses:
    if settings.feed == "replay" and provider.name in PATHS:
        return replayed_addresses(provider.name, "127.0.0.1", settings.replay.port)
    own = settings.venues.get(provider.name)
    if own is None:
        return provider.addresses
    return Addresses(
        own.websocket_url or provider.addresses.websocket_url,
        own.api_url or provider.addresses.api_url,
        own.archive_url or provider.addresses.archive_url,
    )
