"""Backtests as an asset: one run over a range of monthly partitions, with the request in its configuration.

Belongs here: what Dagster is told, and what of a result it shows. Does not belong here: what a request means and what
becomes of it (`pipeline.backtests`).

Dagster reads the body's annotations as objects, so this module does without deferred ones.
"""

import base64
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, date
from typing import Any, Final

import dagster as dg
from pydantic import Field

from btc_pipeline.defs.columns import BACKTEST_COLUMNS, table_schema
from btc_pipeline.defs.partitions import BACKFILL_POLICY
from btc_pipeline.defs.queue import BACKTESTS
from btc_pipeline.defs.resources import PipelineResource
from btc_pipeline.errors import UnknownNameError, UserError
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.pipeline.backtest_request import BacktestRequest
from btc_pipeline.pipeline.catalogue import MINUTES_ASSET, code_digest
from btc_pipeline.pipeline.clock import today
from btc_pipeline.storage.times import to_date, to_day

CODE_VERSION_LENGTH: Final = 12
SIGNIFICANT: Final = 6


class BacktestConfig(dg.Config):
    """A `BacktestRequest` as Dagster's launchpad shows it; what is left out has the same defaults."""

    symbol: str | None = Field(None, description="BTC, or NAME.VENUE such as BTCUSD.BITFINEX")
    interval: str | None = Field(None, description="such as 37m")
    start: str | None = Field(None, description="first day, UTC; by default of the partitions, once there are minutes")
    end: str | None = Field(None, description="day after the last, UTC; by default of the partitions, while there are")
    strategy: str | None = Field(None, description="its name, such as ma44")
    parameters: dict[str, Any] = Field({}, description="of the strategy, such as period: 44")
    capital: float | None = Field(None, description="at the start, quote currency")
    size: float | None = Field(None, description="share of equity that a position takes")
    notional: float | None = Field(None, description="a fixed position value instead of size, quote currency")
    compounding: bool | None = Field(None, description="size follows equity; else the capital of the start")
    direction: str | None = Field(None, description="long, short or both")
    leverage: float | None = Field(None, description="the most that a position may be worth, in equity")
    stop: float | None = Field(None, description="loss that closes a position, fraction of its entry price; 0: none")
    target: float | None = Field(None, description="profit that closes it, fraction of its entry price; 0: none")
    trailing: float | None = Field(None, description="fall from the best price that closes it, fraction; 0: none")
    slippage_bps: float | None = Field(None, description="what a fill is worse than its price, basis points")
    taker_fee_bps: float | None = Field(None, description="instead of the venue's fees, basis points")
    backtest_id: str | None = Field(None, description="a run that waits for this one; the API sets it")

    def request(self, months: range | None, stored: range) -> BacktestRequest:
        """The request over the days of the months that are over and have minutes, unless it names days of its own.

        Args:
            months: days of the run's partitions, since 1970-01-01.
            stored: closed days from the symbol's first minute to its last.

        Raises:
            UserError: a value cannot be accepted.
        """
        given = self.model_dump(exclude={"backtest_id"}, exclude_none=True)
        if months is not None and "start" not in given and "end" not in given:
            first, end = max(months.start, stored.start), min(months.stop, stored.stop)
            days = range(first, end) if first < end else months
            given["start"], given["end"] = to_date(days.start).isoformat(), to_date(days.stop).isoformat()
        return BacktestRequest.of(given)


def monthly_partitions(start: date) -> dg.MonthlyPartitionsDefinition:
    """From the month of the first day to this one, which is still filling."""
    return dg.MonthlyPartitionsDefinition(start_date=start.replace(day=1).isoformat(), timezone="UTC", end_offset=1)


def build_backtests(start: date) -> dg.AssetsDefinition:
    """The asset over the months from a day on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        days_of_months = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)

    spec = dg.AssetSpec(
        BACKTESTS,
        group_name=BACKTESTS,
        deps=[dg.AssetDep(MINUTES_ASSET, partition_mapping=days_of_months)],
        kinds={"numba", "postgres"},
        skippable=True,  # its row may have been deleted
        code_version=code_digest("market", "indicators", "strategies", "backtest")[:CODE_VERSION_LENGTH],
        description=(
            "What an account would have made of a strategy's decisions over the months of a run: choose months and put "
            "the strategy into the configuration. It reads minutes, of the months themselves and of the strategy's "
            "look-back before them, and nothing else that is materialised. Every run is kept in backtest_runs."
        ),
        metadata={
            "dagster/table_name": "public.backtest_runs",
            "dagster/column_schema": table_schema(BACKTEST_COLUMNS),
        },
    )

    @dg.multi_asset(
        name=BACKTESTS,
        specs=[spec],
        partitions_def=monthly_partitions(start),
        backfill_policy=BACKFILL_POLICY,
    )
    def backtests(
        context: dg.AssetExecutionContext, config: BacktestConfig, pipeline: PipelineResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from btc_pipeline.pipeline.backtests import run_backtest

        try:
            request = config.request(_days(context), _stored(pipeline, config))
            stored = run_backtest(
                pipeline.database,
                pipeline.settings,
                request,
                backtest_id=config.backtest_id,
                dagster_run_id=context.run.run_id,
            )
            context.log.info(f"backtest {stored.run.id}: {'from the store' if stored.from_store else 'done'}")
            result = dg.MaterializeResult[Any](metadata=_shown(pipeline, request, stored))
        except UserError as error:
            if _was_deleted(context, pipeline, config):
                context.log.info(f"backtest {config.backtest_id} was deleted: nothing is made of it")
                return
            _refuse(pipeline, config, error)
            raise dg.Failure(str(error), allow_retries=False) from error
        yield result

    return backtests


def _days(context: dg.AssetExecutionContext) -> range | None:
    """The days of a run's months, if it has any."""
    if not (context.has_partition_key or context.has_partition_key_range):
        return None
    window = context.partition_time_window
    return range(to_day(window.start.astimezone(UTC).date()), to_day(window.end.astimezone(UTC).date()))


def _stored(pipeline: PipelineResource, config: BacktestConfig) -> range:
    """The closed days of the symbol's minutes; none where it is unknown, which the request is refused for."""
    from btc_pipeline.storage.candles import first_and_last_minute

    symbol = BacktestRequest.of({"symbol": config.symbol, "start": "1970-01-01"}).symbol
    with pipeline.database.arrow() as cursor:
        bounds = first_and_last_minute(cursor, symbol)
    if bounds is None:
        return range(0)
    return range(bounds[0] // MINUTES_PER_DAY, min(bounds[1] // MINUTES_PER_DAY + 1, today()))


def _was_deleted(context: dg.AssetExecutionContext, pipeline: PipelineResource, config: BacktestConfig) -> bool:
    """Whether the row that the run was launched for is gone; an id that somebody mistyped had none."""
    from btc_pipeline.storage.backtests import ROW_TAG, read_run

    if config.backtest_id is None or context.run.tags.get(ROW_TAG) != config.backtest_id:
        return False
    try:
        read_run(pipeline.database, config.backtest_id)
    except UnknownNameError:
        return True
    return False


def _refuse(pipeline: PipelineResource, config: BacktestConfig, error: UserError) -> None:
    """A run that waits for a request which is refused hears why."""
    from btc_pipeline.storage.backtests import fail_run

    if config.backtest_id:
        fail_run(pipeline.database, config.backtest_id, str(error))


def _shown(pipeline: PipelineResource, request: BacktestRequest, stored: Any) -> dict[str, Any]:
    """A run as the UI shows it; every partition of a range gets the same, so it is kept small."""
    from btc_pipeline.backtest.picture import equity_svg
    from btc_pipeline.pipeline.backtests import prepare
    from btc_pipeline.storage.backtests import read_part

    run = stored.run
    results: Mapping[str, Any] = run.results or {}
    equity = read_part(pipeline.database, run.id, "equity")
    with pipeline.database.arrow() as cursor:
        scope = prepare(cursor, pipeline.settings, request).scope
    asked = run.configuration
    name = " ".join([run.strategy, *(f"{key}={value}" for key, value in sorted(asked["parameters"].items()))])
    title = f"{run.symbol} {run.interval} {name}, {asked['start']} to {asked['end']}: equity, drawdown"
    picture = equity_svg(equity["equity"].to_numpy(), to_day(date.fromisoformat(asked["start"])), title)
    return {
        "result": dg.MetadataValue.md("\n".join(f"- {line}" for line in results["head"]) or "nothing to be said first"),
        "metrics": dg.MetadataValue.table(_metrics(results)),
        "picture": dg.MetadataValue.md(f"![{title}]({_data_uri(picture)})"),
        "strategy": name,
        "symbol": run.symbol,
        "interval": run.interval,
        "range": f"{asked['start']} to {asked['end']}",
        "minutes_read": f"{to_date(scope.own_days.start)} to {to_date(scope.own_days.stop)}, look-back included",
        "backtest_id": str(run.id),
        "run_key": run.run_key,
        "result_hash": run.result_hash,
        "from_store": stored.from_store,
    }


def _metrics(results: Mapping[str, Any]) -> list[dg.TableRecord]:
    """A row a figure: at the account's slippage, at the stress slippage, of buy and hold."""
    from btc_pipeline.backtest.metrics import NAMES

    slippage, stress = f"{results['slippage_bps']:g}", f"{results['stress_slippage_bps']:g}"
    columns = {
        f"slippage {slippage} bps": results["metrics"],
        f"stress, {stress} bps": results["stress"],
        "buy and hold": results["buy_and_hold"],
    }
    rows = [{"metric": name, **{column: _told(figures[name]) for column, figures in columns.items()}} for name in NAMES]
    first = f"slippage {slippage} bps"
    rows.append({"metric": "break_even_bps", first: _told(results["break_even_bps"])})
    rows.append({"metric": "total_return_in_coins", first: _told(results["base"]["total_return"])})
    return [dg.TableRecord({"metric": "", **dict.fromkeys(columns, ""), **row}) for row in rows]


def _told(value: float | None) -> str:
    """Undefined is undefined, and no number."""
    return "undefined" if value is None else f"{value:,.{SIGNIFICANT}g}"


def _data_uri(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
