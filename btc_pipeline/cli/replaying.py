"""`replay-exchange`: a local exchange in the place of the real one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from btc_pipeline.cli.console import answers
from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay.behaviour import Behaviour, EmptyMinute
from btc_pipeline.exchanges.replay.faults import FaultKind
from btc_pipeline.exchanges.replay.running import DEFAULT_COINS, At, ReplayPlan, run
from btc_pipeline.settings import load_settings

_END_OF_TIME: Final = 10**9
"""Epoch minutes; the year 3871."""
_EPILOG: Final = (
    "Faults on command: POST /replay/faults takes kind, seconds, at (UTC seconds since 1970; now), value and venue "
    "(all); DELETE ends all; GET /replay/state shows time, faults and counters. Kinds:\n\n\b\n"
    + "\n".join(f"{kind}: {kind.explanation}" for kind in FaultKind)
)


def replay_exchange(
    file: Annotated[
        Path | None,
        typer.Option(help="1m candles in any format of import-candles; made up without", show_default=False),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="of a made-up market", min=0, show_default=False)] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: a free one", show_default=False)] = None,
    at: Annotated[At, typer.Option(help="the machine's time, or the file's own")] = At.NOW,
    start: Annotated[
        str | None,
        typer.Option(help="where to begin, 2023-03-18T00:00 (UTC); with --at now, the moment of the file that is now"),
    ] = None,
    speed: Annotated[float, typer.Option(help="how many times as fast as the machine's time, 0.01 to 10000")] = 1.0,
    coin: Annotated[
        list[str] | None,
        typer.Option(help="name of a coin, repeatable; the file is the first one's", show_default=False),
    ] = None,
    empty_minutes: Annotated[
        EmptyMinute, typer.Option(help="what REST says of a minute without trades")
    ] = EmptyMinute.LATE_FLAT,
    late_seconds: Annotated[float, typer.Option(min=0, help="how late, with --empty-minutes late-flat")] = 90.0,
    empty_share: Annotated[float, typer.Option(help="share of minutes without trades in a made-up market")] = 0.0,
    frames: Annotated[int, typer.Option(min=1, max=6000, help="candle frames a minute")] = 60,
) -> None:
    """Serves a local exchange that speaks the wires of Hyperliquid, Bybit and Binance, from a file or made up."""
    if not 0.01 <= speed <= 10_000:
        raise UserError(f"--speed {speed:g} is not between 0.01 and 10000.", field="speed")
    settings = load_settings().replay
    plan = ReplayPlan(
        port=settings.port if port is None else port,
        file=file or settings.file,
        seed=settings.seed if seed is None else seed,
        at=at,
        start=None if start is None else _parse_start(start),
        speed=speed,
        coins=tuple(dict.fromkeys(coin)) if coin else DEFAULT_COINS,
        empty_share=empty_share,
        behaviour=Behaviour(frames_per_minute=frames, empty_minute=empty_minutes, late_flat_seconds=late_seconds),
    )
    run(plan, lambda line: answers.print(escape(line)))


replay_exchange.__doc__ = f"{replay_exchange.__doc__}\n\n{_EPILOG}"


def _parse_start(text: str) -> int:
    """A UTC time as epoch minutes."""
    wrong = f"--start {text!r} is not a time from 1970 on: write 2023-03-18T00:00 (UTC)."
    try:
        moment = datetime.fromisoformat(text)
        minute = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() // 60)
    except (ValueError, OverflowError) as error:
        raise UserError(wrong, field="start") from error
    if not 0 <= minute < _END_OF_TIME:
        raise UserError(wrong, field="start")
    return minute
