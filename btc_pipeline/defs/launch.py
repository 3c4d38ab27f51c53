"""Running the job in this process, on the instance that the UI shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from btc_pipeline.defs.environment import dagster_environment
from btc_pipeline.defs.jobs import MATERIALIZE
from btc_pipeline.defs.partitions import range_tags
from btc_pipeline.defs.processes import PROCESS_TAG, fail_dead_runs, this_process
from btc_pipeline.defs.progress import listening
from btc_pipeline.defs.resources import RESOURCE_KEY
from btc_pipeline.errors import UserError
from btc_pipeline.pipeline.refresh import Report
from btc_pipeline.settings import Settings, load_settings

SHOWN_CHARACTERS: Final = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: its id, the error in one line if it failed, and the checks that did not pass."""

    run_id: str
    error: str | None
    failed_checks: list[str]


def run_in_process(
    settings: Settings, days: range, symbols: Sequence[str], assets: Sequence[str], listener: Callable[[Report], None]
) -> Outcome:
    """Runs the job over a range of days for some symbols and assets; the listener hears of each asset done."""
    os.environ.update(dagster_environment(settings))
    import dagster as dg

    from btc_pipeline.defs.build import build_definitions

    job = build_definitions(settings).resolve_job_def(MATERIALIZE)
    with dg.DagsterInstance.get() as instance, listening(listener):
        fail_dead_runs(instance)
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in assets],
            tags={**range_tags(days), PROCESS_TAG: this_process()},
            run_config={
                "resources": {RESOURCE_KEY: {"config": {"symbols": list(symbols)}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            raise_on_error=False,
        )
    checks = [
        f"{check.asset_key.to_user_string()} {check.check_name}: {check.description}"
        for check in result.get_asset_check_evaluations()
        if not check.passed
    ]
    return Outcome(result.run_id, None if result.success else _first_error(result), checks)


def main() -> None:
    """Fails the dead runs of this machine; `btc-pipeline up` calls it in a process of its own, to stay small itself."""
    os.environ.update(dagster_environment(load_settings()))
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        fail_dead_runs(instance)


def _sentence(message: str) -> str:
    """An error in one line; a user's mistake without the name of its class."""
    words = " ".join(message.split())
    if words.startswith(f"{UserError.__module__}."):
        words = words.partition(": ")[2]
    return words if len(words) <= SHOWN_CHARACTERS else f"{words[:SHOWN_CHARACTERS]} ..."


def _first_error(result: object) -> str:
    for event in getattr(result, "all_events", []):
        data = event.event_specific_data
        error = getattr(data, "error", None)
        if error is not None:
            while error.cause is not None:
                error = error.cause
            return _sentence(str(error.message))
    return "the run failed without an error; its log in the Dagster UI may say more"


if __name__ == "__main__":
    main()
