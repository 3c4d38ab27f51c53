"""What ends a download before it is done. Whatever was stored stays, and the same command goes on from there."""

from __future__ import annotations

from typing import Final

GO_ON: Final = "What is stored stays; the same command goes on from there"
SAFE: Final = "Ctrl-C is safe, the same command goes on"


class DownloadError(Exception):
    """A download could not be finished, by no mistake of the user's. The message is one line: what, why, what to do."""
