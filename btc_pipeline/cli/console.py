"""The two consoles: answers go to standard output, progress and errors to standard error."""

from __future__ import annotations

from typing import Final

from rich.console import Console

# A sentence is one line, however narrow the terminal: others read the output, too.
answers: Final = Console(highlight=False, soft_wrap=True)
errors: Final = Console(stderr=True, highlight=False, soft_wrap=True)
