"""Which venues there are, and where each is: by the settings, or all on this machine in a replay.

The built-in ones, and those that the files of the user's folder declare (`exchanges.provider` shows one).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Final

from btc_pipeline.errors import UnknownNameError, UserError
from btc_pipeline.exchanges.addresses import Addresses
from btc_pipeline.exchanges.base import VenueRest, VenueStream
from btc_pipeline.exchanges.binance.provider import BINANCE, BINANCE_UM
from btc_pipeline.exchanges.bybit.provider import PROVIDER as BYBIT
from btc_pipeline.exchanges.guarded import guarded
from btc_pipeline.exchanges.hyperliquid.provider import PROVIDER as HYPERLIQUID
from btc_pipeline.exchanges.pauses import PausedRest
from btc_pipeline.exchanges.provider import Provider, VenueArchive
from btc_pipeline.exchanges.replayed import PATHS, replayed_addresses
from btc_pipeline.plugins import files_of, load_files
from btc_pipeline.settings import Settings
from btc_pipeline.timing.clock import Clock

BUILT_IN: Final = (HYPERLIQUID, BYBIT, BINANCE, BINANCE_UM)
PACKAGE: Final = "btc_pipeline_user_venues"
ARGUMENTS: Final = {"rest": ("addresses", "clock"), "stream": ("addresses",), "archive": ("addresses",)}
"""What each maker of a client is called with."""

_NAME: Final = re.compile(r"[A-Z][A-Z0-9_-]{0,30}", re.ASCII)


def providers(settings: Settings) -> dict[str, Provider]:
    """Every venue by name, at the addresses that hold for this process.

    Raises:
        UserError: a file of the user's folder cannot be loaded, declares no venue, takes a name that is taken, or
            makes clients of other arguments than they are called with.
    """
    versions = tuple((path, path.stat().st_mtime_ns) for path in files_of(settings.venues_folder))
    known = (*BUILT_IN, *_users(versions))
    return {provider.name: _in_place(settings, provider) for provider in known}


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
        hint = f"did you mean {near[0]}? There" if near else "there"
        listed = ", ".join(f"{one.name} ({one.title})" for one in known.values())
        raise UnknownNameError(
            f"symbol {symbol!r}: there is no client for {venue}; {hint} are {listed}.", field="symbol"
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


@lru_cache(maxsize=8)
def _users(versions: tuple[tuple[Path, int], ...]) -> tuple[Provider, ...]:
    """The venues of the user's files, each with the time of its last change: a file is run once."""
    found: dict[str, Provider] = {}
    taken = {provider.name for provider in BUILT_IN}
    for path, module in load_files([path for path, _ in versions], PACKAGE):
        for provider in _declared_by(module, path):
            if provider.name in taken or provider.name in found:
                raise UserError(f"{path}: venue {provider.name!r} exists already; give it another name.")
            found[provider.name] = guarded(provider, path)
    return tuple(found.values())


def _declared_by(module: ModuleType, path: Path) -> Iterator[Provider]:
    declared = [*getattr(module, "PROVIDERS", ()), *([module.PROVIDER] if hasattr(module, "PROVIDER") else [])]
    if not declared:
        raise UserError(f"{path}: declares no venue; assign a btc_pipeline.exchanges.provider.Provider to PROVIDER.")
    for one in declared:
        if not isinstance(one, Provider):
            raise UserError(f"{path}: PROVIDER {one!r:.60} is no btc_pipeline.exchanges.provider.Provider.")
        if not _NAME.fullmatch(one.name):
            raise UserError(
                f"{path}: venue {one.name!r:.40} is no name; use capitals, digits, - and _, as in BINANCE_UM."
            )
        _check_makers(one, path)
        yield one


def _check_makers(provider: Provider, path: Path) -> None:
    """Whether clients can be made as they will be.

    Raises:
        UserError: one cannot.
    """
    for name, arguments in ARGUMENTS.items():
        make = getattr(provider, name)
        if make is None and name == "archive":
            continue
        wanted = f"wanted is {name}({', '.join(arguments)})"
        if not callable(make):
            raise UserError(f"{path}: venue {provider.name!r}: {name} {make!r:.60} cannot be called; {wanted}.")
        try:
            signature = inspect.signature(make)
        except ValueError:
            # Not every callable that is no Python tells.
            continue
        try:
            signature.bind(*arguments)
        except TypeError as error:
            raise UserError(
                f"{path}: venue {provider.name!r}: {name}{signature} has the wrong arguments; {wanted}."
            ) from error


def _in_place(settings: Settings, provider: Provider) -> Provider:
    """A venue at the addresses of this process, whose pauses are those of all processes."""

    def rest(at: Addresses, clock: Clock) -> VenueRest:
        return PausedRest(provider.rest(at, clock), settings.data_dir, clock)

    return replace(provider, addresses=_addresses(settings, provider), rest=rest)


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
