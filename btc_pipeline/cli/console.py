"""The two consoles: answers go to standard output, progress and errors to standard error."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Console

if TYPE_CHECKING:
    from btc_pipeline.settings import Settings

# A sentence is one line, however narrow the terminal: others read the output, too.
answers: Final = Console(highlight=False, soft_wrap=True)
errors: Final = Console(stderr=True, highlight=False, soft_wrap=True)


def say_if_replay(settings: Settings, *, as_json: bool = False) -> None:
    """The first line of what shows replayed numbers; beside JSON it goes to standard error."""
    if settings.feed == "replay":
        (errors if as_json else answers).print(replay_line(settings), markup=False)


def say_if_later(asked: date, begins: date) -> None:
    """That a run begins where the minutes do, and not where it was asked to."""
    if begins > asked:
        errors.print(f"--start {asked}: the minutes begin on {begins}, and so does this")


def print_json(content: Any) -> None:
    """An answer for programs; what is no number is null."""
    from pydantic_core import to_json

    typer.echo(to_json(content, indent=2, inf_nan_mode="null", fallback=str).decode())


def replay_line(settings: Settings) -> str:
    """That these are no numbers of a market, and where they are kept."""
    return f"REPLAY: a local exchange in place of the real one; data in {settings.data_dir}"
