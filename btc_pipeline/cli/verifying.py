"""`verify`: proofs that anybody can run: no look-ahead, and a log that is what the minutes give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from btc_pipeline.cli.backtesting import parse_parameters
from btc_pipeline.cli.console import answers, errors, print_json, say_if_replay
from btc_pipeline.cli.options import (
    EndOption,
    FeedOption,
    IntervalOption,
    JsonOption,
    ParamOption,
    SymbolOption,
    named_as_options,
    parse_day,
)
from btc_pipeline.errors import UserError

if TYPE_CHECKING:
    from btc_pipeline.backtest.lookahead import Difference as Leak
    from btc_pipeline.backtest.lookahead import Proof
    from btc_pipeline.pipeline.parity import Cause, Difference, Parity

app = typer.Typer(help="Proofs: that nothing looks ahead, and that the log is what the minutes give.")

LONGEST_VALUE = 300


@app.command()
@named_as_options()
def lookahead(
    strategy: Annotated[str, typer.Option(metavar="NAME", help="which strategy", show_default=False)],
    param: ParamOption = None,
    symbol: SymbolOption = "BTC",
    interval: IntervalOption = "37m",
    start: Annotated[
        str | None, typer.Option(metavar="DATE", help="first day, UTC; by default the first stored")
    ] = None,
    end: EndOption = None,
    cuts: Annotated[int | None, typer.Option(min=1, help="at how many bars to cut; by default at every one")] = None,
    as_json: JsonOption = False,
    feed: FeedOption = None,  # noqa: ARG001 its callback does it
) -> None:
    """Cuts the data at many bars, decides again, and compares to the bit. Exit code 1 if a decision changes."""
    from btc_pipeline.pipeline.proofs import verify_lookahead
    from btc_pipeline.settings import load_settings
    from btc_pipeline.storage.address import open_database

    values = {
        "strategy": strategy, "parameters": parse_parameters(param or []), "symbol": symbol, "interval": interval,
        "start": start, "end": end,
    }  # fmt: skip
    settings = load_settings()
    say_if_replay(settings, as_json=as_json)
    with _progress() as shown:
        bar = shown.add_task("cutting", total=None)
        prepared, proof = verify_lookahead(
            open_database(settings),
            settings,
            values,
            cuts=cuts,
            progress=lambda done, of: shown.update(bar, completed=done, total=of),
        )
    if as_json:
        print_json(_proof_as_mapping(prepared.configuration, proof))
    else:
        _print_proof(prepared.configuration, proof)
    if proof.difference is not None:
        raise typer.Exit(1)


@app.command()
@named_as_options()
def parity(
    symbol: Annotated[str | None, typer.Option(help="by default all that are stored")] = None,
    interval: Annotated[str | None, typer.Option(help="by default all that strategies are at work on")] = None,
    start: Annotated[str | None, typer.Option(help="first day, UTC; by default the first stored")] = None,
    end: Annotated[str | None, typer.Option(help="day after the last, UTC; by default after the last stored")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="the versions that were made live, instead of those that hold now")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="differences to print; the counts are of all")] = 50,
    as_json: JsonOption = False,
    feed: FeedOption = None,  # noqa: ARG001 its callback does it
) -> None:
    """Decides again from the stored minutes, and compares with the log. Exit code 1 if a difference has no cause."""
    from btc_pipeline.market.intervals import Interval
    from btc_pipeline.pipeline.clock import now_minute
    from btc_pipeline.pipeline.parity import Wanted, verify_parity
    from btc_pipeline.settings import load_settings
    from btc_pipeline.storage.address import open_database

    wanted = Wanted(
        symbol,
        None if interval is None else Interval.parse(interval),
        None if start is None else parse_day(start, "start"),
        None if end is None else parse_day(end, "end"),
        live,
    )
    settings = load_settings()
    say_if_replay(settings, as_json=as_json)
    with errors.status("deciding again") as status:
        found = verify_parity(open_database(settings), settings, wanted, now_minute(), status.update)
    if not found.logged:
        raise UserError("nothing is logged in that range: btc-pipeline materialize makes decisions.")
    if as_json:
        print_json(_parity_as_mapping(found, limit))
    else:
        _print_parity(found, limit, live=live)
    if found.unexplained:
        raise typer.Exit(1)


def _print_proof(asked: Mapping[str, Any], proof: Proof) -> None:
    name = " ".join([asked["strategy"], *(f"{key}={value}" for key, value in sorted(asked["parameters"].items()))])
    answers.print(f"{asked['symbol']} {asked['interval']} {escape(name)}, {asked['start']} to {asked['end']}")
    answers.print(_compared(proof))
    if proof.difference is None:
        answers.print("[green]holds:[/green] no decision rests on what came after it")
    else:
        _print_leak(proof.difference)


def _proof_as_mapping(asked: Mapping[str, Any], proof: Proof) -> dict[str, Any]:
    """What was proven as JSON has it; times are of bars' opens."""
    found = proof.difference
    names = ("symbol", "interval", "strategy", "parameters", "start", "end")
    return {
        **{name: asked[name] for name in names},
        "holds": found is None,
        "bars": proof.bars,
        "windows": proof.windows,
        "prefixes": proof.prefixes,
        "futures": proof.futures,
        "difference": found
        and {
            **asdict(found),
            "fault": found.fault.name.lower(),
            "message": str(found.fault),
            "time": _moment(found.time),
            "known": _moment(found.known),
        },
    }


def _parity_as_mapping(found: Parity, limit: int) -> dict[str, Any]:
    """What was compared as JSON has it; counts are of all differences, of which `limit` are listed."""
    return {
        "compared": found.compared,
        "logged": found.logged,
        "unexplained": found.unexplained,
        "causes": {cause.name.lower(): count for cause, count in _causes(found)},
        "differences": [
            {**asdict(one), "time": _moment(one.time), "cause": one.cause.name.lower()}
            for one in _shown_first(found, limit)
        ],
    }


def _compared(proof: Proof) -> str:
    done = {
        f"{proof.windows:,} of {proof.bars:,} bars decided again from their look-back alone": proof.windows,
        f"{proof.prefixes:,} from all that had closed by then": proof.prefixes,
        f"{proof.futures:,} with another future": proof.futures,
    }
    return ", ".join(words for words, count in done.items() if count) or f"{proof.bars:,} bars, decided all at once"


def _print_leak(found: Leak) -> None:
    answers.print(f"[red]{escape(str(found.fault))}[/red]")
    if found.time is not None:
        shows = f"; at {found.bars:,} of the {found.of:,} bars looked at" if found.of > 1 else ""
        known = "" if found.known is None else f", data known up to {_minute(found.known)}"
        answers.print(f"  first at the bar that opens {_minute(found.time)}{known}{shows}")
    answers.print(f"  {found.field}: {_value(found.whole)} from all data", markup=False)
    answers.print(f"  {found.field}: {_value(found.part)} then", markup=False)


def _print_parity(found: Parity, limit: int, *, live: bool) -> None:
    what = "decisions that were made live" if live else "decisions that hold"
    answers.print(f"{found.logged:,} {what} compared with what the stored minutes give")
    if not found.differences:
        answers.print("[green]equal:[/green] every one, to the bit")
        return
    for cause, count in _causes(found):
        answers.print(f"  {count:,} {escape(str(cause))}")
    for one in _shown_first(found, limit):
        answers.print(_line(one), markup=False)
    if len(found.differences) > limit:
        answers.print(f"... and {len(found.differences) - limit:,} more: --limit")


def _causes(found: Parity) -> list[tuple[Cause, int]]:
    return Counter(one.cause for one in found.differences).most_common()


def _shown_first(found: Parity, limit: int) -> list[Difference]:
    return sorted(found.differences, key=lambda one: one.cause.name != "UNEXPLAINED")[:limit]


def _line(one: Difference) -> str:
    who = f"{one.symbol} {one.interval} {one.strategy} {one.parameters} {_minute(one.time)}"
    return f"{who}: {one.field} {_value(one.logged)} logged, {_value(one.made)} now: {one.cause} ({one.detail})"


def _minute(minute: int) -> str:
    return f"{_moment(minute):%Y-%m-%d %H:%M}"


def _moment(minute: int | None) -> datetime | None:
    from btc_pipeline.storage.times import to_datetime

    return None if minute is None else to_datetime(minute)


def _value(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} ..."


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
    )
