"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Annotated, Final

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
# Which minutes are replayed with what.
StartOption = Annotated[str, typer.Option(metavar="DATE", help="first day, UTC", show_default=False)]
EndOption = Annotated[
    str | None, typer.Option(metavar="DATE", help="day after the last, UTC; by default the last closed day is the last")
]
SymbolOption = Annotated[str, typer.Option(metavar="SYMBOL", help="BTC, or NAME.VENUE such as BTCUSD.BITFINEX")]
IntervalOption = Annotated[str, typer.Option(metavar="INTERVAL", help="of the bars, such as 37m")]
StrategyOption = Annotated[str, typer.Option(metavar="NAME", help="whose decisions are traded")]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=NUMBER", help="a parameter of the strategy; may be given several times"),
]
# The account of a backtest, and of every row of a sweep. What is left out stays open, for the strategy or the settings.
CapitalOption = Annotated[
    float | None, typer.Option(metavar="MONEY", help="at the start, in quote currency; 10000 by default")
]
SizeOption = Annotated[
    float | None,
    typer.Option(metavar="FRACTION", help="of equity that a position and its fee take; 1 by default"),
]
NotionalOption = Annotated[
    float | None,
    typer.Option(
        metavar="MONEY",
        help="a fixed position value instead of --size; of it what --leverage allows, once equity has shrunk",
    ),
]
DirectionOption = Annotated[
    str | None, typer.Option(metavar="long|short|both", help="sides that are traded; by default the strategy's own")
]
LeverageOption = Annotated[
    float | None,
    typer.Option(metavar="TIMES", help="the most that a position is worth, in equity; 1 by default, 40 at most"),
]
StopOption = Annotated[
    float | None,
    typer.Option(
        metavar="FRACTION",
        help="loss, of the entry price, that closes a position; 0: none; by default the strategy's own",
    ),
]
TargetOption = Annotated[
    float | None,
    typer.Option(
        metavar="FRACTION", help="profit, of the entry price, that closes it; 0: none; by default the strategy's own"
    ),
]
TrailingOption = Annotated[
    float | None,
    typer.Option(
        metavar="FRACTION",
        help="fall, of the best price since, that closes it; 0: none; by default the strategy's own",
    ),
]
SlippageOption = Annotated[
    float | None,
    typer.Option(
        metavar="BPS",
        help="basis points that a fill is worse than its price; by default of the settings: 1 for BTC, 10 for others",
    ),
]
FeeBpsOption = Annotated[
    float | None,
    typer.Option(
        "--fee-bps",
        "--taker-fee-bps",
        metavar="BPS",
        help="taker fee in basis points; by default of the venue's table, by date",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="for programs")]
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


_SAME: Final = (
    *("symbol", "interval", "start", "end", "strategy", "capital", "size", "notional", "direction", "leverage"),
    *("stop", "target", "trailing", "rank", "walk-forward", "heatmap"),
)
_OPTIONS: Final = {
    **{name: f"--{name}" for name in _SAME},
    "slippage_bps": "--slippage-bps",
    "taker_fee_bps": "--fee-bps",
    "metric": "--rank",
    "parameter": "--param",
}
# A name is a field's where its value follows, or where nothing else could be meant. What follows a colon is in the
# words of something else, such as a strategy with a parameter of that name.
_FIELD: Final = re.compile(
    rf"(?<!: )\b({'|'.join(_OPTIONS)})(?= (?:[-'\"\d]|nan |inf ))|^(heatmap|walk-forward)\b|(?<=raise )(leverage)\b"
)


@contextmanager
def named_as_options() -> Iterator[None]:
    """Messages of a request's mistakes name the options: `--fee-bps`, and not the field `taker_fee_bps`.

    Raises:
        UserError: the mistake, in these words.
    """
    try:
        yield
    except UserError as error:
        if error.field is None:
            raise
        raise type(error)(as_options(str(error)), field=error.field) from error


def as_options(message: str) -> str:
    """A message with the options in place of the fields."""
    return _FIELD.sub(lambda found: _OPTIONS[found[0]], message)
