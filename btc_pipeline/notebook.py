"""What a notebook imports: stored candles and decisions as data frames, and backtests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from btc_pipeline.errors import UserError
from btc_pipeline.market.candles import Candles, empty_candles
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTE, MINUTES_PER_DAY, Interval
from btc_pipeline.market.resampling import UsabilityRule
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.settings import Settings, load_settings
from btc_pipeline.storage.address import open_database
from btc_pipeline.storage.candles import READ_WINDOW, first_and_last_minute, to_arrow
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline.storage.queries import MAX_SOURCE_MINUTES, make_bars
from btc_pipeline.storage.reading import read_table
from btc_pipeline.storage.times import to_minute
from btc_pipeline.strategies.base import Strategy

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Cursor

    from btc_pipeline.backtest.metrics import Metrics

DECISIONS: Final = """
SELECT time, strategy, parameters::text AS parameters, version, target, type, confidence,
       array_to_string(reasons, '; ') AS reasons, indicator_snapshot::text AS indicator_snapshot, origin, recorded_at,
       warmed
FROM (
    SELECT DISTINCT ON (strategy, parameters, time) *
    FROM decisions
    WHERE symbol = $1 AND interval = $2 AND time >= $3 AND time < $4 AND backtest_id IS NULL AND recorded_at <= $5
    ORDER BY strategy, parameters, time, version DESC
) newest
WHERE NOT withdrawn AND ($6 = '' OR strategy = $6)
ORDER BY time, strategy
"""
LOGGED: Final = "SELECT 1 FROM decisions WHERE strategy = $1 AND backtest_id IS NULL LIMIT 1"
TIMES: Final = ("time", "recorded_at", "entry_time", "exit_time")
LONGEST_MONTH_MINUTES: Final = 31 * MINUTES_PER_DAY
_EARLIEST: Final = "1970-01-01"
_LATEST: Final = "2200-01-01"


def load_candles(
    symbol: str,
    interval: str = "1m",
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    *,
    align: str = "left",
    database: Database | None = None,
) -> pd.DataFrame:
    """Candles of a symbol, ascending, indexed by `time` (datetime64[us, UTC]).

    Args:
        symbol: such as `BTC` or `BTCUSD.BITFINEX`.
        interval: such as `37m`; one that is not materialised is made from the minutes, by the one resampler.
        start, end: the bars that open in [start, end); UTC where no zone is given.
        align: `left` labels a bar by its open, `right` by its close.
        database: another than the settings' own.

    Returns:
        open, high, low, close (quote currency, float64), volume (base currency, float64), quote_volume and
        taker_buy_volume (float64, NaN where unknown), trades (Int64), minutes, quiet_minutes, expected_minutes,
        usable (bool).

    Raises:
        UserError: unknown symbol or interval, or a time that cannot be read.

    Example:
        >>> load_candles("BTCUSD.BITFINEX", "37m", "2016-01-01", "2016-02-01")["close"].mean()  # doctest: +SKIP
    """
    if align not in ("left", "right"):
        raise UserError(f"align {align!r} is neither 'left' nor 'right'.", field="align")
    grid = Interval.parse(interval)
    settings = load_settings()
    window = _window(start, end)
    with (database or open_database(settings)).arrow() as cursor:
        instrument = find_instrument(cursor, symbol)
        if grid in (MINUTE, *build_catalogue(settings).materialized):
            table = read_table(cursor, READ_WINDOW, (instrument.symbol, grid.name, *window))
        else:
            table = _make_table(cursor, instrument, grid, window, settings.rule)
    frame = _utc(table.to_pandas())
    if align == "right":
        frame["time"] = _closes(frame["time"], grid)
    return _labelled(frame.astype({"trades": "Int64"}).set_index("time"), settings)


def load_decisions(
    symbol: str,
    interval: str = "37m",
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    *,
    strategy: str | None = None,
    as_of: str | datetime | None = None,
    database: Database | None = None,
) -> pd.DataFrame:
    """Logged decisions of a symbol, ascending, indexed by `time` (the bar's open, datetime64[us, UTC]).

    Args:
        strategy: only this one; it may be gone, as long as there are decisions of it.
        as_of: what was known at that time, instead of what holds now.

    Returns:
        strategy, parameters (JSON), version, target (Int64: -1, 0, 1; <NA> is no opinion), type, confidence,
        reasons, indicator_snapshot (JSON), origin, recorded_at, warmed (bool: it saw bars of another venue).

    Raises:
        UserError: unknown symbol, interval or strategy, or a time that cannot be read.
    """
    grid = Interval.parse(interval)
    settings = load_settings()
    with (database or open_database(settings)).arrow() as cursor:
        instrument = find_instrument(cursor, symbol)
        known = settings.registry.strategies
        if strategy is not None and strategy not in known and not len(read_table(cursor, LOGGED, (strategy,))):
            settings.registry.get(strategy)
        moment = _moment(as_of, "as_of", _LATEST)
        cursor.execute(DECISIONS, (instrument.symbol, grid.name, *_window(start, end), moment, strategy or ""))
        frame = _utc(cursor.fetch_arrow_table().to_pandas())
    return _labelled(frame.astype({"target": "Int64"}).set_index("time"), settings)


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """A backtest.

    Attributes:
        metrics: figures, such as `metrics.sharpe`; None where undefined (`docs/metrics.md`).
        trades: a row a round trip, indexed by `number`.
        equity: indexed by `time`, at the start and at every midnight (UTC): equity, equity_base (in coins), drawdown.
        report: all that the command's `--json` says of results: `head` first, `stress`, `buy_and_hold`, ...
        configuration: the request, with what it left open.
        id: of the stored run; None if nothing was stored.
        from_store: whether it was there already.
    """

    metrics: Metrics
    trades: pd.DataFrame
    equity: pd.DataFrame
    report: dict[str, Any]
    configuration: dict[str, Any]
    id: UUID | None = None
    from_store: bool = False

    def __repr__(self) -> str:
        asked, shown = self.configuration, ("total_return", "sharpe", "max_drawdown", "trades")
        lines = [
            f"{asked['symbol']} {asked['interval']} {asked['strategy']} {asked['start']} to {asked['end']}",
            ", ".join(f"{name} {getattr(self.metrics, name)}" for name in shown),
            *self.report["head"],
        ]
        return "\n".join(lines)


def backtest(
    symbol: str,
    interval: str,
    start: str | date,
    end: str | date | None = None,
    *,
    strategy: str = "ma44",
    parameters: Mapping[str, int | float] | None = None,
    store: bool = False,
    database: Database | None = None,
    **options: Any,
) -> BacktestResult:
    """What an account would have made of a strategy's decisions. Nothing is stored unless `store` says so.

    Args:
        start, end: UTC dates, or moments at 00:00 UTC, the end exclusive; by default the last closed day is the last.
        parameters: of the strategy; they may also be given by name.
        store: keep the run, and give one that was made already instead of running it again.
        options: `capital`, `size`, `leverage`, `direction`, `stop`, `slippage_bps` and the like, as of the command
            `btc-pipeline backtest`; every other name is a parameter of the strategy.

    Raises:
        UserError: it cannot be run; the message says why, and what could be.

    Example:
        >>> backtest("BTCUSD.BITFINEX", "37m", "2015-01-01", "2017-01-01", strategy="ma", period=44)  # doctest: +SKIP
    """
    from btc_pipeline.pipeline import backtests
    from btc_pipeline.storage.backtests import read_part

    known = backtests.BacktestRequest.model_fields
    settings = load_settings()
    own = {name: value for name, value in options.items() if name not in known}
    _refuse_unknown(own, settings.registry.get(strategy), known)
    account = {name: value for name, value in options.items() if name in known}
    request = backtests.BacktestRequest.of(
        {
            **account,
            "symbol": symbol,
            "interval": interval,
            "start": _day(start, "start"),
            "end": None if end is None else _day(end, "end"),
            "strategy": strategy,
            "parameters": {**(parameters or {}), **own},
        }
    )
    where = database or open_database(settings)
    if store:
        done = backtests.run_backtest(where, settings, request)
        run, results = done.run, done.run.results or {}
        tables = [read_part(where, run.id, name) for name in ("trades", "equity")]
        return _result(settings, tables, results, run.configuration, run.id, done.from_store)
    prepared, result = backtests.backtest(where, settings, request)
    return _result(settings, [result.trades, result.equity], result.results, prepared.configuration)


def _refuse_unknown(given: Iterable[str], strategy: Strategy, options: Iterable[str]) -> None:
    """Names that are neither an option of a run nor a parameter of its strategy."""
    names = [*(one.name for one in strategy.parameters), *strategy.fixed]
    for name in given:
        if name not in names:
            near = get_close_matches(name, [*names, *options], n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"its parameters are {', '.join(names) or 'none'}."
            raise UserError(f"{name} is neither an option nor a parameter of {strategy.name}: {hint}", field=name)


def _day(value: str | date, field: str) -> str | date:
    """The UTC date of a moment at midnight; anything else as it is."""
    if not isinstance(value, datetime):
        return value
    moment = _moment(value, field, "")
    if moment.time() != time.min:
        raise UserError(f"{field} {value} is not the begin of a day: write 2016-01-31 (UTC).", field=field)
    return moment.date()


def _result(
    settings: Settings,
    tables: Sequence[pa.Table],
    results: dict[str, Any],
    configuration: dict[str, Any],
    run: UUID | None = None,
    from_store: bool = False,
) -> BacktestResult:
    from btc_pipeline.backtest.metrics import NAMES, Metrics

    trades, equity = (_utc(table.to_pandas()) for table in tables)
    return BacktestResult(
        Metrics(**{name: results["metrics"].get(name) for name in NAMES}),
        _labelled(trades.set_index("number"), settings),
        _labelled(equity.set_index("time"), settings),
        results,
        configuration,
        run,
        from_store,
    )


def _labelled(frame: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """A frame that says where its numbers are from: `attrs["feed"]` is live, or replay (`BTC_PIPELINE_FEED=replay`)."""
    frame.attrs["feed"] = settings.feed
    return frame


def _make_table(
    cursor: Cursor, instrument: Instrument, grid: Interval, window: tuple[datetime, datetime], rule: UsabilityRule
) -> pa.Table:
    """Bars that are not stored, in pieces that `make_bars` takes; as the columns of `READ_WINDOW`."""
    bounds = first_and_last_minute(cursor, instrument.symbol) or (0, -1)
    start, end = max(to_minute(window[0]), bounds[0]), min(to_minute(window[1]), bounds[1] + 1)
    slots = range(grid.slot(start), grid.slot(end - 1) + 1) if start < end else range(0)
    # A bar whose open lies before the window belongs to what is before it.
    slots = slots[1:] if len(slots) and grid.open(slots.start) < to_minute(window[0]) else slots
    most = max(1, MAX_SOURCE_MINUTES // (grid.minutes or LONGEST_MONTH_MINUTES))
    parts = [make_bars(cursor, instrument, grid, slots[at : at + most], rule) for at in range(0, len(slots), most)]
    bars = Candles.concatenate(parts) if parts else empty_candles(grid, instrument.scale)
    return to_arrow(bars, instrument.symbol, status="").drop_columns(["symbol", "interval", "status"])


def _window(start: str | datetime | None, end: str | datetime | None) -> tuple[datetime, datetime]:
    first, last = _moment(start, "start", _EARLIEST), _moment(end, "end", _LATEST)
    if first >= last:
        raise UserError(f"start {first} is not before end {last}.", field="start")
    return first, last


def _moment(value: str | datetime | None, field: str, default: str) -> datetime:
    import pandas as pd

    try:
        stamp = pd.Timestamp(default if value is None else value)
        utc = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
        if pd.isna(utc):
            raise ValueError(value)
        moment: datetime = utc.to_pydatetime()
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{field} {value!r} is not a time: write 2016-01-31 or 2016-01-31T12:00Z.", field=field
        ) from error
    return moment


def _utc(frame: pd.DataFrame) -> pd.DataFrame:
    """ADBC's frames carry `UTC` in microseconds already; empty ones may not."""
    return frame.astype({name: "datetime64[us, UTC]" for name in TIMES if name in frame})


def _closes(opens: Any, interval: Interval) -> Any:
    import pandas as pd

    minutes = opens.astype("int64").to_numpy() // 60_000_000
    closes = interval.close(interval.slot(minutes)) * 60_000_000
    return pd.Series(closes, index=opens.index).astype("datetime64[us]").dt.tz_localize("UTC")
