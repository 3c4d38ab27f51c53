"""Running the job in this process, on the instance that the UI shows.

What such a run prints stands where it was started, and is not captured for the UI: the programs that capture it would
be sent a terminal's Ctrl-C, too, and each would print a traceback.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from btc_pipeline.defs.environment import dagster_environment
from btc_pipeline.defs.jobs import MATERIALIZE
from btc_pipeline.defs.partitions import range_tags
from btc_pipeline.defs.processes import PROCESS_TAG, fail_dead_runs, this_process
from btc_pipeline.defs.progress import listening
from btc_pipeline.defs.resources import RESOURCE_KEY
from btc_pipeline.errors import UserError
from btc_pipeline.pipeline.refresh import Report
from btc_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    import dagster as dg

SHOWN_CHARACTERS: Final = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: its id, the error in one line if it failed, and the checks that did not pass.

    `mistake`: the error is a user's to mend, and the same again would fail again.
    """

    run_id: str
    error: str | None
    failed_checks: list[str]
    mistake: bool = False


def run_in_process(
    settings: Settings, days: range, symbols: Sequence[str], assets: Sequence[str], listener: Callable[[Report], None]
) -> Outcome:
    """Runs the job over a range of days for some symbols and assets; the listener hears of each asset done."""
    os.environ.update(dagster_environment(settings))
    import dagster as dg

    from btc_pipeline.defs.build import build_definitions

    job = build_definitions(settings).resolve_job_def(MATERIALIZE)
    with _without_capture() as instance, listening(listener):
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
    error, mistake = (None, False) if result.success else _first_error(result)
    return Outcome(result.run_id, error, checks, mistake)


def main() -> None:
    """Fails the dead runs of this machine; `btc-pipeline up` calls it in a process of its own, to stay small itself."""
    os.environ.update(dagster_environment(load_settings()))
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        fail_dead_runs(instance)


def _without_capture() -> dg.DagsterInstance:
    import dagster as dg
    from dagster._core.instance.ref import InstanceRef
    from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager

    nothing = {"module": NoOpComputeLogManager.__module__, "class": NoOpComputeLogManager.__name__}
    home = os.environ["DAGSTER_HOME"]
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(home, overrides={"compute_logs": nothing}))


def _first_error(result: dg.ExecuteInProcessResult) -> tuple[str, bool]:
    """The cause of the first error in one line, and whether that is a user's to mend.

    Such a cause is told without the name of its class, and whatever lies behind it is in its words.
    """
    mistakes = tuple(f"{kind.__module__}.{kind.__qualname__}: " for kind in _kinds(UserError))
    for event in result.all_events:
        error: Any = getattr(event.event_specific_data, "error", None)
        if error is not None:
            while error.cause is not None and not error.message.startswith(mistakes):
                error = error.cause
            words = " ".join(error.message.split())
            mistake = words.startswith(mistakes)
            return _cut(words.partition(": ")[2] if mistake else words), mistake
    return "the run failed without an error; its log in the Dagster UI may say more", False


def _cut(words: str) -> str:
    return words if len(words) <= SHOWN_CHARACTERS else f"{words[:SHOWN_CHARACTERS]} ..."


def _kinds(kind: type[Exception]) -> Iterator[type[Exception]]:
    """A class of exceptions and those derived from it, as far as they are loaded: whatever was raised here is."""
    yield kind
    for derived in kind.__subclasses__():
        yield from _kinds(derived)


if __name__ == "__main__":
    main()
