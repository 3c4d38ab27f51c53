"""Pandera schemas: what a row must be before it is written. Minutes that are not are quarantined; the rest is a bug.

pandas and pandera cost seconds to import, so both are imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from btc_pipeline.market import validity
from btc_pipeline.market.candles import Candles
from btc_pipeline.market.intervals import Int64Array
from btc_pipeline.storage.indicators import IndicatorRows

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pandera

    from btc_pipeline.strategies.decisions import Decisions


@dataclass(frozen=True, slots=True)
class Offence:
    """A row that may not be: its position, which rules it breaks."""

    row: int
    rules: tuple[str, ...]


def find_offences(minutes: Candles) -> list[Offence]:
    """The 1m candles that break the schema, ascending by row."""
    from pandera.errors import SchemaErrors

    try:
        candle_schema().validate(frame(minutes), lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        whole = cases[cases["index"].isna()]
        if len(whole):
            raise
        return [
            Offence(int(row), tuple(sorted(set(group["check"].astype(str)))))
            for row, group in cases.groupby("index", sort=True)
        ]
    return []


def validate_bars(bars: Candles) -> None:
    """Raises pandera's SchemaErrors if a bar breaks the schema: then the resampler is wrong; nothing is written."""
    if len(bars):
        candle_schema().validate(frame(bars), lazy=True)


def validate_indicators(values: Mapping[str, IndicatorRows]) -> None:
    """Raises pandera's SchemaErrors if an indicator value is not a finite number."""
    import pandas as pd

    rows = [one for one in values.values() if len(one.time)]
    if rows:
        table = pd.DataFrame({"value": np.concatenate([one.value for one in rows])})
        indicator_schema().validate(table, lazy=True)


def validate_decisions(decisions: Decisions) -> None:
    """Raises pandera's SchemaErrors if a decision breaks the schema."""
    import pandas as pd

    if len(decisions.time):
        table = pd.DataFrame(
            {
                "time": decisions.time,
                "target": decisions.target,
                "type": decisions.type,
                "confidence": decisions.confidence,
                "input_digest": decisions.input_digest,
            }
        )
        decision_schema().validate(table, lazy=True)


def frame(candles: Candles) -> pd.DataFrame:
    """Candles as the data frame that the schema speaks of; times stay epoch minutes."""
    import pandas as pd

    return pd.DataFrame(
        {
            "time": candles.time,
            "open": candles.open,
            "high": candles.high,
            "low": candles.low,
            "close": candles.close,
            "volume": candles.volume,
            "quote_volume": candles.quote_volume,
            "taker_buy_volume": candles.taker_buy_volume,
            "trades": candles.trades,
            "minutes": candles.minutes,
            "quiet_minutes": candles.quiet_minutes,
            "expected_minutes": candles.expected_minutes,
        },
        copy=False,
    )


@cache
def candle_schema() -> pandera.DataFrameSchema:
    """Bars of any interval, minutes included."""
    import pandera.pandas as pandera

    column, check = pandera.Column, pandera.Check
    # NaN is null to pandera, which would answer with a word of its own.
    price = [check(validity.is_price, name=validity.PRICE_POSITIVE, ignore_na=False)]
    amount = [check(validity.is_amount, name=validity.VOLUME_NOT_NEGATIVE, ignore_na=False)]
    optional = [check(validity.is_optional_amount, name=validity.VOLUME_NOT_NEGATIVE)]
    return pandera.DataFrameSchema(
        {
            "time": column("int64", _ascending(check), unique=False),
            "open": column("float64", price, nullable=True),
            "high": column("float64", price, nullable=True),
            "low": column("float64", price, nullable=True),
            "close": column("float64", price, nullable=True),
            "volume": column("float64", amount, nullable=True),
            "quote_volume": column("float64", optional, nullable=True),
            "taker_buy_volume": column("float64", optional, nullable=True),
            "trades": column("int64", check(validity.is_trade_count, name=validity.TRADES_COUNTED)),
            "minutes": column("int64", check.ge(1)),
            "quiet_minutes": column("int64", check.ge(0)),
            "expected_minutes": column("int64", check.ge(1)),
        },
        checks=[
            check(lambda f: validity.high_is_highest(*_prices(f)), name=validity.HIGH_HIGHEST),
            check(lambda f: validity.low_is_lowest(*_prices(f)), name=validity.LOW_LOWEST),
            check(lambda f: f["quiet_minutes"] <= f["minutes"], name="quiet minutes are among the present ones"),
            check(lambda f: f["minutes"] <= f["expected_minutes"], name="no more minutes than the slot holds"),
            check(
                lambda f: validity.taker_buy_is_part(f["taker_buy_volume"], f["volume"]), name=validity.TAKER_BUY_PART
            ),
        ],
        name="candles",
    )


def _prices(table: pd.DataFrame) -> tuple[pd.Series[float], ...]:
    return table["open"], table["high"], table["low"], table["close"]


def _ascending(check: type[pandera.Check]) -> pandera.Check:
    return check(lambda s: s.is_monotonic_increasing and s.is_unique, name="times ascend")


@cache
def indicator_schema() -> pandera.DataFrameSchema:
    """Indicator values."""
    import pandera.pandas as pandera

    finite = pandera.Check(np.isfinite, name="value is a finite number")
    return pandera.DataFrameSchema({"value": pandera.Column("float64", finite)}, name="indicators")


@cache
def decision_schema() -> pandera.DataFrameSchema:
    """Decisions."""
    import pandera.pandas as pandera

    from btc_pipeline.strategies.base import FLAT, LONG, NO_OPINION, SHORT
    from btc_pipeline.strategies.decisions import DECISION_TYPES

    column, check = pandera.Column, pandera.Check
    return pandera.DataFrameSchema(
        {
            "time": column("int64", _ascending(check)),
            "target": column("int8", check.isin((SHORT, FLAT, LONG, NO_OPINION))),
            "type": column(object, check.isin([str(kind) for kind in DECISION_TYPES]), coerce=True),
            "confidence": column("float64", check.in_range(0, 1)),
            "input_digest": column(object, check.str_length(32, 32), coerce=True),
        },
        checks=check(
            lambda f: (f["target"] != NO_OPINION) | ((f["type"] == "HOLD") & (f["confidence"] == 0)),
            name="no opinion is a HOLD without confidence",
        ),
        name="decisions",
    )


def drop_rows(minutes: Candles, rows: Int64Array) -> Candles:
    """Candles without some of their rows."""
    keep = np.ones(len(minutes), np.bool_)
    keep[rows] = False
    return minutes.take(keep)
