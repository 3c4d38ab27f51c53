"""The months that a backtest's run stands for in Dagster: its partitions, as tags of the run.

Whoever launches one says them: the API, which knows nothing else of Dagster, and the code that Dagster loads.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from btc_pipeline.storage.times import to_date

RANGE_START_TAG: Final = "dagster/asset_partition_range_start"
RANGE_END_TAG: Final = "dagster/asset_partition_range_end"


def month_tags(days: range, start_date: date) -> dict[str, str]:
    """Tags that make a run cover the months of some days (since 1970-01-01), as far as there are partitions.

    Args:
        start_date: the setting, with whose month partitions begin.

    Example:
        >>> month_tags(range(16_815, 16_875), date(2016, 1, 1))["dagster/asset_partition_range_end"]
        '2016-03-01'
    """
    first = max(to_date(days.start), start_date).replace(day=1)
    last = to_date(days.stop - 1).replace(day=1)
    return {RANGE_START_TAG: first.isoformat(), RANGE_END_TAG: last.isoformat()} if first <= last else {}
