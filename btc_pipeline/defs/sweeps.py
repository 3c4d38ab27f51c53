"""Sweeps as an asset: one run a part of the parameters, so that whoever launches runs can spread a sweep.

Parts may run in any order, at once, on any machine that reaches the database; the last one's run shows the ranking.

Dagster reads the body's annotations as objects, so this module does without deferred ones.
"""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg
from pydantic import Field

from btc_pipeline.defs.backtests import CODE_VERSION_LENGTH
from btc_pipeline.defs.columns import SWEEP_COLUMNS, table_schema
from btc_pipeline.defs.queue import BACKTESTS, SWEEP_ROWS
from btc_pipeline.defs.resources import PipelineResource
from btc_pipeline.errors import UserError
from btc_pipeline.pipeline.catalogue import MINUTES_ASSET, code_digest
from btc_pipeline.pipeline.sweeps import DEFAULT_RANK, SweepRequest, run_part
from btc_pipeline.storage.sweeps import SweepRows

SWEEP: Final = "sweep"
"""The job."""
SHOWN: Final = 20
BESIDE: Final = ("total_return", "sharpe", "max_drawdown", "trades")


class SweepConfig(dg.Config):
    """A sweep and which part of it a run is to do."""

    run: dict[str, Any] = Field(
        default_factory=dict,
        description="symbol, interval, start, end, strategy and account, as of a backtest; without parameters",
    )
    grid: list[str] = Field(
        default_factory=list,
        description="parameters, such as period=5..500, period=5..500:5 or slow=20,50,100",
    )
    rank: str = Field(DEFAULT_RANK, description="the metric that the rows are shown by")
    part: int = Field(1, description="which part of the sets this run does, from 1")
    parts: int = Field(1, description="how many parts there are")

    def request(self) -> SweepRequest:
        """What is asked for.

        Raises:
            UserError: a value cannot be accepted.
        """
        from btc_pipeline.pipeline.backtests import BacktestRequest

        return SweepRequest(BacktestRequest.of(self.run), tuple(self.grid), self.rank)


def build_sweeps() -> dg.AssetsDefinition:
    """The asset; without partitions, for its range is in its configuration."""

    @dg.asset(
        name=SWEEP_ROWS,
        group_name=BACKTESTS,
        deps=[MINUTES_ASSET],
        kinds={"numba", "postgres"},
        # Whoever materialises everything at once asks for no sweep.
        output_required=False,
        code_version=code_digest("market", "indicators", "strategies", "backtest")[:CODE_VERSION_LENGTH],
        description=(
            "Figures of a strategy with many sets of parameters over the same minutes. A run does a part of the sets; "
            "all parts together are the rows of the whole. Every row equals the backtest with its parameters."
        ),
        metadata={
            "dagster/table_name": "public.sweep_rows",
            "dagster/column_schema": table_schema(SWEEP_COLUMNS),
        },
    )
    def sweep_rows(
        context: dg.AssetExecutionContext, config: SweepConfig, pipeline: PipelineResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        if not config.run and not config.grid:
            context.log.info("no sweep is asked for: give run and grid in the configuration")
            return
        done = 0

        def tell(more: int, total: int) -> None:
            nonlocal done
            # A line a tenth: every line is a row of the event log.
            if (done + more) * 10 // total > done * 10 // total:
                context.log.info(f"{done + more:,} of {total:,} sets")
            done += more

        try:
            key, rows = run_part(
                pipeline.database, pipeline.settings, config.request(), (config.part, config.parts), tell
            )
        except UserError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": done,
                "sweep_key": key,
                "part": f"{config.part} of {config.parts}",
                "rows_so_far": f"{len(rows.numbers):,} of {rows.sets:,}",
                **({"best": dg.MetadataValue.table(_best(rows, config.rank))} if rows.complete else {}),
            }
        )

    return sweep_rows


def _best(rows: SweepRows, rank: str) -> list[dg.TableRecord]:
    """The first rows by a metric over all days; chosen with hindsight, as the column says."""
    from btc_pipeline.backtest.metrics import metrics_of
    from btc_pipeline.backtest.sweep import ranking

    names = dict.fromkeys((rank, *BESIDE))
    found = []
    for at in ranking(rows.table, rank)[:SHOWN].tolist():
        figures = metrics_of(rows.table[at])._asdict()
        told = {name: "undefined" if figures[name] is None else f"{figures[name]:,.6g}" for name in names}
        parameters = " ".join(f"{name}={value:g}" for name, value in rows.parameters[at].items())
        found.append(dg.TableRecord({"parameters (in-sample only)": parameters, **told}))
    return found
