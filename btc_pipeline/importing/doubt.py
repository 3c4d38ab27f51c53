"""Minutes about which a file said something that could not be used.

Belongs here: where a skipped row may have belonged. Does not belong here: what a hole means (`market.gaps`). A hole
that a skipped row left must not be taken for a minute without trades, even where the source writes no row for those.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from btc_pipeline.importing.checks import Checked
from btc_pipeline.importing.tables import TextTable
from btc_pipeline.market.spans import NO_SPANS, Spans


def doubtful_minutes(table: TextTable, checked: Checked) -> Spans:
    """The minutes that wrong rows may have meant.

    A row whose time can be read and stands between its neighbours' means that minute. Of any other, the whole hole
    between the right rows around it is in doubt, and the minute it names, if it names one.
    """
    right, times = checked.findings.right, checked.times
    if right.all() and not table.broken:
        return NO_SPANS
    kept = np.flatnonzero(right)
    minutes = times.minutes[kept].tolist()

    def hole(place: int) -> tuple[int, int]:
        return (minutes[place - 1] + 1, minutes[place]) if 0 < place < len(minutes) else (0, 0)

    spans = set()
    readable = ~(times.unreadable | times.other_unit | times.uneven)
    wrong = np.flatnonzero(~right)
    for row, place in zip(wrong.tolist(), np.searchsorted(kept, wrong).tolist(), strict=True):
        minute = int(times.minutes[row])
        start, end = hole(place)
        if readable[row]:
            spans.add((minute, minute + 1))
        if not (readable[row] and start <= minute < end):
            spans.add((start, end))
    if table.broken:
        lines = [table.row_number(row) for row in kept.tolist()]
        spans |= {hole(bisect_left(lines, error.row)) for error in table.broken}
    return Spans.of(spans)
