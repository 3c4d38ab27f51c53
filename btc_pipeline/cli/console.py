"""The two consoles: answers go to standard output, progress and errors to standard error."""

from __future__ import annotations

from typing import Final

from rich.console import Console

answers: Final = Console(highlight=False)
errors: Final = Console(stderr=True, highlight=False)
