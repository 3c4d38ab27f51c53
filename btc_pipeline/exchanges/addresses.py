"""Addresses of venues."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a venue is.

    Attributes:
        websocket_url: of its market data.
        api_url: of its REST, without a path.
        archive_url: of its public files, if it has any.
    """

    websocket_url: str
    api_url: str
    archive_url: str | None = None


def is_local(url: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
