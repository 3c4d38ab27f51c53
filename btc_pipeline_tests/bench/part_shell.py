"""The whole command from the shell, Dagster included, and the same again with nothing changed."""

from __future__ import annotations

from typing import Final

from btc_pipeline_tests.bench.figures import Figure, timed
from btc_pipeline_tests.bench.workspace import IMPORTED, Workspace

ASKED_SECONDS: Final = 90.0
ASKED_AGAIN: Final = 0.3
COMMAND: Final = ("materialize", "--start", "2015-01-01", "--end", "2017-01-01")


def run(space: Workspace) -> list[Figure]:
    space.reset_product(IMPORTED)
    first, said = timed(lambda: space.command(*COMMAND))
    again, said_again = timed(lambda: space.command(*COMMAND))
    assert "everything is up to date" in said_again, said_again
    shown = [line.strip() for line in said.splitlines() if line.strip()]
    return [
        Figure(
            "the whole command from the shell, Dagster included",
            f"{first:.1f} s, {first / 2:.1f} s a year",
            f"at most {ASKED_SECONDS:.0f} s",
            first <= ASKED_SECONDS,
            ["btc-pipeline " + " ".join(COMMAND), *shown[1:]],
        ),
        Figure(
            "the same again with nothing changed",
            f"{again:.1f} s, {again / first:.2f} x the first",
            f"at most {ASKED_AGAIN} x",
            again <= ASKED_AGAIN * first,
            [line.strip() for line in said_again.splitlines() if line.strip()],
        ),
    ]
