"""The two consoles: answers go to standard output, progress and errors to standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console

if TYPE_CHECKING:
    from btc_pipeline.settings import Settings

# A sentence is one line, however narrow the terminal: others read the output, too.
answers: Final = Console(highlight=False, soft_wrap=True)
errors: Final = Console(stderr=True, highlight=False, soft_wrap=True)


def say_if_replay(settings: Settings) -> None:
    """The first line of what shows replayed numbers."""
    if settings.feed == "replay":
        answers.print(replay_line(settings), markup=False)


def replay_line(settings: Settings) -> str:
    """That these are no numbers of a market, and where they are kept."""
    return f"REPLAY: a local exchange in place of the real one; data in {settings.data_dir}"
