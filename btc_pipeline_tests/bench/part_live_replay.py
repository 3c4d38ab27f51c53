"""How fast live things are replayed: virtual days a minute of exchange, collector and database."""

from __future__ import annotations

from typing import Final

from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.live_stack import LiveSpace
from btc_pipeline_tests.bench.part_live_memory import virtual_days

ASKED: Final = 1.0
FRAMES: Final = (60, 12)
"""A minute: what the exchange sends, and what most tests do with."""


def run(space: LiveSpace) -> list[Figure]:
    found = {frames: virtual_days(space, f"replay{frames}", 1, frames) for frames in FRAMES}
    rate = 60 / found[FRAMES[0]].seconds
    return [
        Figure(
            "virtual days replayed a minute",
            f"{rate:.2f}",
            f"at least {ASKED:.0f}",
            rate >= ASKED,
            [
                "one virtual day and, before it, the catch-up of 5,000 minutes; exchange and collector in one process",
                *(
                    f"{frames} frames a minute: {one.seconds:.0f} s, of which {one.processor:.0f} s of its own "
                    "processor time; the rest is the database and whoever else uses the machine"
                    for frames, one in found.items()
                ),
            ],
        )
    ]
