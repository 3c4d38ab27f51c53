"""Growth: one, two and four synthetic years as one range each."""

from __future__ import annotations

from typing import Final

from btc_pipeline_tests.bench.figures import Figure, alternate, timed
from btc_pipeline_tests.bench.market import DAYS_A_YEAR, FIRST_DAY, refresh_all, store_synthetic
from btc_pipeline_tests.bench.workspace import EMPTY, Workspace

ROUNDS: Final = 2
YEARS: Final = (1, 2, 4)
ASKED: Final = 1.2


def run(space: Workspace) -> list[Figure]:
    def side(years: int) -> float:
        with space.copy_of(EMPTY) as database:
            store_synthetic(database, FIRST_DAY, years * DAYS_A_YEAR)
            days = range(FIRST_DAY, FIRST_DAY + years * DAYS_A_YEAR)
            return timed(lambda: refresh_all(database, days))[0]

    laps = alternate(ROUNDS, {f"{years}": lambda years=years: side(years) for years in YEARS})  # type: ignore[misc]
    a_year = {years: laps[f"{years}"].median / years for years in YEARS}
    ratio = max(a_year.values()) / min(a_year.values())
    return [
        Figure(
            f"growth: {', '.join(map(str, YEARS))} years (synthetic, every minute traded)",
            f"{ratio:.2f} x between the dearest year and the cheapest",
            f"linear within {ASKED - 1:.0%}",
            ratio <= ASKED,
            [f"{years} years: {laps[f'{years}']}, {one:.2f} s a year" for years, one in a_year.items()],
        )
    ]
