"""The assets, one factory a kind; the catalogue says which there are.

Dagster reads the bodies' annotations as objects, so this module does without deferred ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import dagster as dg

from btc_pipeline.defs import checks
from btc_pipeline.defs.columns import CANDLE_COLUMNS, DECISION_COLUMNS, INDICATOR_COLUMNS, Columns, table_schema
from btc_pipeline.defs.lane import is_live, wait_for_close
from btc_pipeline.defs.partitions import BACKFILL_POLICY, days_of, lookback, partition_key
from btc_pipeline.defs.progress import announce
from btc_pipeline.defs.resources import PipelineResource
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.resampling import UsabilityRule
from btc_pipeline.pipeline.catalogue import (
    MINUTES_ASSET,
    BarsAsset,
    Catalogue,
    DecisionsAsset,
    DerivedAsset,
    IndicatorsAsset,
    code_digest,
)
from btc_pipeline.pipeline.checks import (
    CheckReport,
    check_coverage,
    check_midnights,
    check_rejected_rows,
    check_snapshots,
    check_staleness,
)
from btc_pipeline.pipeline.clock import now_minute
from btc_pipeline.pipeline.cross_check import check_cross
from btc_pipeline.pipeline.recount import recount_bars
from btc_pipeline.pipeline.refresh import Report
from btc_pipeline.storage.times import to_datetime

CODE_VERSION_LENGTH: Final = 12
SHOWN_DAYS: Final = 40
SHOWN_GAPS: Final = 10

Check = Callable[[Instrument, range, int], CheckReport]
"""(instrument, days, now) -> what the check found."""
Before = Callable[[dg.AssetExecutionContext, PipelineResource], Mapping[str, Any]]
"""What is done before a body's own work; gives metadata."""
Results = Iterator[dg.MaterializeResult[Any]]


def build_assets(catalogue: Catalogue, partitions: dg.PartitionsDefinition[str]) -> list[dg.AssetsDefinition]:
    """Every asset of the catalogue."""
    return [
        _minutes(partitions),
        *(_bars(asset, catalogue.rule, partitions) for asset in catalogue.bars),
        *(_indicators(asset, partitions) for asset in catalogue.indicators),
        *(_decisions(asset, catalogue, partitions) for asset in catalogue.decisions),
    ]


def _minutes(partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    spec = dg.AssetSpec(
        MINUTES_ASSET,
        description=(
            "1m candles as their venue tells them. Materialising a day validates its minutes, puts offenders into "
            "quarantine, records its gaps with reasons, and takes the digest that everything downstream rests on."
        ),
        group_name="candles",
        kinds={"postgres", "pandera"},
        code_version=code_digest("market")[:CODE_VERSION_LENGTH],
        metadata=_table_metadata("candles", CANDLE_COLUMNS),
    )

    def checks_of(pipeline: PipelineResource) -> dict[str, Check]:
        return {
            checks.COVERAGE: lambda instrument, days, _: check_coverage(pipeline.database, instrument, days),
            checks.QUARANTINE: lambda instrument, days, _: check_rejected_rows(pipeline.database, instrument, days),
            checks.MIDNIGHT: lambda instrument, days, _: check_midnights(pipeline.database, instrument, days),
            checks.CROSS_CHECK: partial(check_cross, pipeline.database, pipeline.settings.comparisons),
        }

    names = (checks.COVERAGE, checks.QUARANTINE, checks.MIDNIGHT, checks.CROSS_CHECK, checks.COLLECTOR)
    return _one_asset(spec, names, checks_of, partitions, _before_minutes)


def _before_minutes(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> Mapping[str, Any]:
    """In the live lane waits for the slot to close; else fills gaps from the venue, which there the collector does."""
    if is_live(context.run.tags):
        wait_for_close(pipeline.database, context.run.tags)
        return {}
    return {
        f"repair/{instrument.symbol}": told
        for instrument in pipeline.instruments()
        for told in [_repair(context, pipeline, instrument)]
        if told
    }


def _repair(context: dg.AssetExecutionContext, pipeline: PipelineResource, instrument: Instrument) -> str | None:
    """Fills the days' gaps from the instrument's venue while it has them; what came of it in words, if anything."""
    from btc_pipeline.pipeline.repair import repair_days

    report = repair_days(pipeline.settings, pipeline.database.uri, instrument, days_of(context))
    if report is None or not (report.found or report.error):
        return None
    if report.error:
        told = f"{instrument.venue} could not be asked: {report.error}"
        context.log.warning(f"{instrument.symbol}: {told}")
        return told
    told = f"{report.found - report.missing:,} of {report.found:,} missing minutes filled or explained"
    if report.gaps:
        left = [f"{to_datetime(one.start):%Y-%m-%d %H:%M} {one.end - one.start}m ({one.reason})" for one in report.gaps]
        shown = ", ".join(left[:SHOWN_GAPS]) + (" ..." if len(left) > SHOWN_GAPS else "")
        told += f"; {report.missing:,} left in {len(left):,} gaps: {shown}"
    return told


def _bars(asset: BarsAsset, rule: UsabilityRule, partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    names = ", ".join(interval.name for interval in asset.intervals)
    description = (
        f"{names} candles, made from the traded minutes of each bar. A bar says how many of its minutes are there, how "
        "many are quiet, and whether it is usable."
    )

    def checks_of(pipeline: PipelineResource) -> dict[str, Check]:
        return {
            checks.RECOUNT: lambda instrument, days, now: recount_bars(
                pipeline.database, instrument, asset.intervals, days, rule, now
            ),
            checks.STALENESS: partial(check_staleness, pipeline.database, pipeline.catalogue, asset),
        }

    spec = _spec(asset, "candles", description, CANDLE_COLUMNS)
    return _one_asset(spec, (checks.RECOUNT, checks.STALENESS), checks_of, partitions)


def _indicators(asset: IndicatorsAsset, partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    shown = ", ".join(f"{name} ({spec.label})" for name, spec in asset.specs.items())
    description = f"Indicators on {asset.interval} bars: {shown}."

    def checks_of(pipeline: PipelineResource) -> dict[str, Check]:
        return {checks.STALENESS: partial(check_staleness, pipeline.database, pipeline.catalogue, asset)}

    spec = _spec(asset, "indicators", description, INDICATOR_COLUMNS)
    return _one_asset(spec, (checks.STALENESS,), checks_of, partitions)


def _decisions(
    asset: DecisionsAsset, catalogue: Catalogue, partitions: dg.PartitionsDefinition[str]
) -> dg.AssetsDefinition:
    description = (
        f"What {', '.join(one.strategy.display_name for one in asset.strategies)} want at the close of every "
        f"{asset.interval} bar. The log only grows: a decision that comes out differently is a new version."
    )

    def checks_of(pipeline: PipelineResource) -> dict[str, Check]:
        return {
            checks.SNAPSHOTS: lambda instrument, days, _: check_snapshots(
                pipeline.database, asset, catalogue, instrument, days
            ),
            checks.STALENESS: partial(check_staleness, pipeline.database, pipeline.catalogue, asset),
        }

    # Decisions are computed from bars by the functions that made the indicators; a check compares the two.
    compared = [one.name for one in catalogue.indicators if one.interval == asset.interval]
    spec = _spec(asset, "decisions", description, DECISION_COLUMNS, also=compared)
    return _one_asset(spec, (checks.SNAPSHOTS, checks.STALENESS), checks_of, partitions)


def _one_asset(
    spec: dg.AssetSpec,
    check_names: Sequence[str],
    checks_of: Callable[[PipelineResource], Mapping[str, Check]],
    partitions: dg.PartitionsDefinition[str],
    before: Before | None = None,
) -> dg.AssetsDefinition:
    """An asset whose body refreshes itself for every instrument of the run, and answers its checks."""
    name = spec.key.to_user_string()

    @dg.multi_asset(
        name=name,
        specs=[spec],
        check_specs=list(checks.check_specs(name, check_names)),
        partitions_def=partitions,
        backfill_policy=BACKFILL_POLICY,
    )
    def body(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> Results:
        days, extra = days_of(context), before(context, pipeline) if before else {}
        now = now_minute()
        reports: list[Report] = []
        answers: checks.Answers = {check: [] for check in check_names}
        for instrument in pipeline.instruments():
            report = pipeline.chain.refresh(instrument, days, now, assets=[name])[name]
            reports.append(report)
            _say(context, report)
            for check, function in checks_of(pipeline).items():
                answers[check].append((instrument.symbol, function(instrument, days, now)))
        if checks.COLLECTOR in answers:
            answers[checks.COLLECTOR] = checks.check_collectors(pipeline.database, pipeline.settings)
        yield _result(context, name, days, reports, answers, extra)

    return body


def _spec(
    asset: DerivedAsset, group: str, description: str, columns: Columns, also: Sequence[str] = ()
) -> dg.AssetSpec:
    deps = [dg.AssetDep(name, partition_mapping=lookback(asset, name)) for name in asset.upstream]
    return dg.AssetSpec(
        asset.name,
        deps=[*deps, *also],
        description=description,
        group_name=group,
        kinds={"numpy", "postgres"},
        code_version=asset.recipe[:CODE_VERSION_LENGTH],
        metadata=_table_metadata(group, columns),
    )


def _table_metadata(table: str, columns: Columns) -> dict[str, Any]:
    return {"dagster/table_name": f"public.{table}", "dagster/column_schema": table_schema(columns)}


def _say(context: dg.AssetExecutionContext, report: Report) -> None:
    context.log.info(
        f"{report.asset} {report.symbol}: {report.rows:,} rows in {len(report.days):,} days, "
        f"{len(report.recomputed):,} recomputed, {len(report.written):,} written"
    )
    announce(report)


def _result(
    context: dg.AssetExecutionContext,
    name: str,
    days: range,
    reports: Sequence[Report],
    answers: checks.Answers,
    extra: Mapping[str, Any],
) -> dg.MaterializeResult[Any]:
    last = max((report.last_time for report in reports if report.last_time is not None), default=None)
    metadata: dict[str, Any] = {
        "dagster/row_count": sum(report.rows for report in reports),
        "days": len(days),
        "days_recomputed": sum(len(report.recomputed) for report in reports),
        "days_written": sum(len(report.written) for report in reports),
        **extra,
    }
    if last is not None:
        metadata["last_time"] = dg.MetadataValue.timestamp(to_datetime(last))
    for report in reports:
        # In a range every partition gets the same metadata; digests of single days are in `partition_digests`.
        if len(days) == 1:
            metadata[f"digest/{report.symbol}"] = report.digests[days.start]
        elif report.written:
            shown = [partition_key(day) for day in report.written[:SHOWN_DAYS]]
            metadata[f"written/{report.symbol}"] = ", ".join(shown) + (
                " ..." if len(report.written) > SHOWN_DAYS else ""
            )
    wanted = {key.name for key in context.selected_asset_check_keys if key.asset_key == dg.AssetKey(name)}
    return dg.MaterializeResult(
        asset_key=name,
        metadata=metadata,
        check_results=[checks.check_result(name, check, found) for check, found in answers.items() if check in wanted],
    )
