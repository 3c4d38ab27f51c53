"""How many of the newest minutes a venue gives: of those that do not give all.

A module of its own: whoever only judges health must not load a client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

RETENTION_MINUTES: Final[Mapping[str, int]] = {"HYPERLIQUID": 5_000}
