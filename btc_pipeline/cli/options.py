"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated

import typer

from btc_pipeline.errors import UserError


def _choose_feed(feed: str | None) -> str | None:
    if feed is not None:
        os.environ["BTC_PIPELINE_FEED"] = feed
    return feed


def choose_symbols(symbols: Sequence[str]) -> None:
    """Makes them what this process and those that it starts collect, if there are any."""
    if symbols:
        os.environ["BTC_PIPELINE_SYMBOLS"] = json.dumps(list(symbols))


# Through the environment, so that the processes which a command starts have it, too.
FeedOption = Annotated[
    str | None,
    typer.Option(
        "--feed",
        metavar="live|replay",
        callback=_choose_feed,
        help="replay: a local exchange in place of the real one, and a data folder of its own",
        show_default=False,
    ),
]
# The account of a backtest, and of every row of a sweep.
CapitalOption = Annotated[float | None, typer.Option(help="at the start, quote currency", show_default="10000")]
SizeOption = Annotated[float | None, typer.Option(help="share of equity a position takes", show_default="1")]
NotionalOption = Annotated[float | None, typer.Option(help="a fixed position value instead, quote currency")]
DirectionOption = Annotated[str | None, typer.Option(help="long, short or both", show_default="both")]
LeverageOption = Annotated[float | None, typer.Option(help="the most a position is worth, in equity", show_default="1")]
StopOption = Annotated[float | None, typer.Option(help="loss that closes a position, fraction of its entry price")]
TargetOption = Annotated[float | None, typer.Option(help="profit that closes it, fraction of its entry price")]
TrailingOption = Annotated[float | None, typer.Option(help="fall from the best price that closes it, fraction")]
SlippageOption = Annotated[float | None, typer.Option(help="what a fill is worse than its price")]
FeeBpsOption = Annotated[float | None, typer.Option(help="taker fee, instead of the venue's table")]
SymbolsOption = Annotated[
    list[str] | None,
    typer.Option("--symbol", help="what to collect; may be given several times", show_default=False),
]


def parse_day(text: str, field: str) -> int:
    """A date as days since 1970-01-01.

    Raises:
        UserError: not a date such as 2016-01-31.
    """
    from btc_pipeline.storage.times import to_day

    try:
        return to_day(date.fromisoformat(text))
    except ValueError as error:
        raise UserError(f"--{field} {text!r} is not a date: write 2016-01-31 (UTC).", field=field) from error


def parse_minutes(text: str, field: str) -> int:
    """A length of time such as 180m, 3h or 2d in minutes.

    Raises:
        UserError: anything else.
    """
    match = re.fullmatch(r"([0-9]{1,7})([mhd])", text, re.ASCII)
    if not match:
        raise UserError(f"--{field} {text!r} is not a length of time: write 180m, 3h or 2d.", field=field)
    return int(match[1]) * {"m": 1, "h": 60, "d": 1440}[match[2]]
