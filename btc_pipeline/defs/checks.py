"""Asset checks: which assets have which, and how their answers are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from btc_pipeline.pipeline.catalogue import MINUTES_ASSET
from btc_pipeline.pipeline.checks import CheckReport
from btc_pipeline.pipeline.collection import assess_collector
from btc_pipeline.settings import Settings
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.health import COLLECTORS, read

Answers = dict[str, list[tuple[str, CheckReport]]]
"""By check name, (symbol, report) of every instrument."""

COVERAGE: Final = "coverage"
QUARANTINE: Final = "quarantine"
CROSS_CHECK: Final = "cross_check"
COLLECTOR: Final = "collector_health"
MIDNIGHT: Final = "continuity_across_midnight"
RECOUNT: Final = "duckdb_recount"
STALENESS: Final = "staleness"
SNAPSHOTS: Final = "snapshots_equal_indicators"

DESCRIPTIONS: Final = {
    COVERAGE: "Every minute of the day is there, or known to have had no trade.",
    QUARANTINE: "No row of the day was refused by the schema.",
    CROSS_CHECK: "The price is as far from another venue's as it usually is.",
    COLLECTOR: "Minutes land, and nothing waits; as of now, whatever the day.",
    MIDNIGHT: "The price does not jump between the last minute of the day before and the first of this one.",
    RECOUNT: "Every stored bar equals DuckDB's own count of the stored minutes.",
    STALENESS: "The day was made from what is stored now, by the code that runs now.",
    SNAPSHOTS: "The values that decisions saw equal the stored indicators, bit for bit.",
}
NOTHING: Final = {COLLECTOR: "no collector has run here"}
"""What is said where there is nothing to look at, if not that nothing is stored."""
# What the market or a source does is a warning; what only the pipeline can get wrong is an error.
SEVERITIES: Final = {
    COVERAGE: dg.AssetCheckSeverity.WARN,
    QUARANTINE: dg.AssetCheckSeverity.WARN,
    CROSS_CHECK: dg.AssetCheckSeverity.WARN,
    COLLECTOR: dg.AssetCheckSeverity.ERROR,
    MIDNIGHT: dg.AssetCheckSeverity.WARN,
    RECOUNT: dg.AssetCheckSeverity.ERROR,
    STALENESS: dg.AssetCheckSeverity.WARN,
    SNAPSHOTS: dg.AssetCheckSeverity.ERROR,
}


def check_specs(asset: str, names: Iterable[str]) -> Iterator[dg.AssetCheckSpec]:
    """The specs of an asset's checks."""
    for name in names:
        yield dg.AssetCheckSpec(name, asset=asset, description=DESCRIPTIONS[name])


def check_result(asset: str, name: str, reports: Sequence[tuple[str, CheckReport]]) -> dg.AssetCheckResult:
    """One answer for all symbols: (symbol, report) pairs, none where nothing is stored yet."""
    problems = [{"symbol": symbol, **problem} for symbol, report in reports for problem in report.problems]
    metadata: dict[str, Any] = {symbol: report.summary for symbol, report in reports}
    if problems:
        metadata["problems"] = dg.MetadataValue.table(
            [dg.TableRecord({key: _shown(value) for key, value in problem.items()}) for problem in problems]
        )
    return dg.AssetCheckResult(
        passed=all(report.passed for _, report in reports),
        asset_key=asset,
        check_name=name,
        severity=SEVERITIES[name],
        description="; ".join(f"{symbol}: {report.summary}" for symbol, report in reports)
        or NOTHING.get(name, "nothing is stored yet"),
        metadata=metadata,
    )


def check_collectors(database: Database, settings: Settings) -> list[tuple[str, CheckReport]]:
    """Whether every symbol is collected now: (symbol, report) pairs, none where no collector ever ran."""
    rows = read(database, {"collectors": (COLLECTORS, ())})["collectors"]
    return [
        (one.symbol, CheckReport(one.healthy, "; ".join([one.message, *one.warnings])))
        for one in assess_collector(rows, datetime.now(UTC), settings.collected)
    ]


def collector_evaluation(reports: Sequence[tuple[str, CheckReport]]) -> dg.AssetCheckEvaluation:
    """The answer about the collector, to be told outside of a run."""
    result = check_result(MINUTES_ASSET, COLLECTOR, reports)
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(MINUTES_ASSET),
        check_name=COLLECTOR,
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
    )


def _shown(value: object) -> str | float | int | bool | None:
    if value is None or isinstance(value, str | float | int | bool):
        return value
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)
