"""What the API answers: models for its description (OpenAPI), with examples.

Row endpoints write their JSON straight from rows, not through these models; a test holds the two together.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Problem(BaseModel):
    """One thing that is wrong."""

    field: str | None = Field(description="the parameter, where it is one's fault")
    message: str


class ErrorBody(BaseModel):
    """Every error's body."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "detail": [
                    {
                        "field": "interval",
                        "message": "interval '37x' is unknown: use 1m to 1440m, 1h to 24h, 1d, 3d, 1w or 1M. "
                        "Did you mean 37m?",
                    }
                ]
            }
        }
    )
    detail: list[Problem]


Feed = Literal["live", "replay"]
"""Where the numbers come from: exchanges, or the local one in their place."""


class Home(BaseModel):
    """What this is, and where to go."""

    name: str
    feed: Feed
    version: str
    description: str
    links: dict[str, str]


class Candle(BaseModel):
    """A bar; it covers [open time, close time)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "time": "2016-01-01T00:09:00Z",
                "open": 430.7,
                "high": 430.8,
                "low": 429.99,
                "close": 429.99,
                "volume": 51.21129044,
                "quote_volume": None,
                "taker_buy_volume": None,
                "trades": None,
                "vwap": None,
                "minutes": 37,
                "quiet_minutes": 19,
                "expected_minutes": 37,
                "usable": True,
                "materialized": True,
                "forming": False,
            }
        }
    )
    time: datetime = Field(description="open time, UTC; with align=right the close time")
    open: float
    high: float
    low: float
    close: float
    volume: float = Field(description="base currency")
    quote_volume: float | None = Field(description="quote currency; null where neither venue nor trades tell")
    taker_buy_volume: float | None = Field(description="base currency; null where neither venue nor trades tell")
    trades: int | None
    vwap: float | None = Field(
        description="average price by volume, quote_volume / volume; null without a quote volume or without volume"
    )
    minutes: int | None = Field(description="minutes known, the quiet ones among them; null in a filled slot")
    quiet_minutes: int | None = Field(description="minutes known to have had no trade; null in a filled slot")
    expected_minutes: int
    usable: bool = Field(description="enough minutes known, and the closing one among them")
    materialized: bool = Field(description="false: made on the spot from minutes")
    forming: bool = Field(description="not closed yet: it will change")
    filled: bool = Field(False, description="only with fill=true: no bar, the close before it repeated")


class Page(BaseModel):
    """A part of a list."""

    next: str | None = Field(description="address of the rows that follow, if there are more")
    previous: str | None = Field(description="address of the rows before, if the newest were asked for")


class CandlesPage(Page):
    """Bars, ascending by time."""

    symbol: str
    feed: Feed
    interval: str
    align: str
    count: int
    data: list[Candle]


class LatestCandle(BaseModel):
    """The last closed bar, and the one now forming."""

    symbol: str
    feed: Feed
    interval: str
    align: str
    closed: Candle | None
    forming: Candle | None
    last_minute: datetime = Field(description="open time of the last stored minute")
    age_seconds: int = Field(description="since that minute closed")


class BulkCandles(Page):
    """Bars by column; every array has `count` entries, ascending by time."""

    symbol: str
    feed: Feed
    interval: str
    align: str
    count: int
    data: dict[str, list[Any]] = Field(
        description="an array a column; `time` in epoch milliseconds",
        examples=[{"time": [1451606940000], "open": [430.7], "close": [429.99]}],
    )


class WarmUpOfSymbol(BaseModel):
    """Whose bars a symbol's windows may reach back to: at `until` and before, and only from later bars."""

    source: str
    until: datetime


class IndicatorDefinition(BaseModel):
    """What an indicator's name means."""

    indicator: str
    output: str
    parameters: dict[str, float]


class IndicatorValue(BaseModel):
    """An indicator at a bar."""

    time: datetime
    name: str
    value: float
    settled: bool = Field(description="false: made from fewer bars than its window holds")
    warmed: bool = Field(description="it rests on bars of another venue: see warm_up")


class IndicatorsPage(Page):
    """Values, ascending by time, then by name."""

    symbol: str
    feed: Feed
    interval: str
    align: str
    count: int
    warm_up: WarmUpOfSymbol | None = Field(description="of the symbol, if the settings give it one")
    definitions: dict[str, IndicatorDefinition]
    data: list[IndicatorValue]


class Decision(BaseModel):
    """What a strategy wanted at a bar's close."""

    time: datetime
    symbol: str
    interval: str
    strategy: str
    parameters: dict[str, Any]
    version: int
    withdrawn: bool = Field(description="only with versions=all: this version takes the decision back")
    target: int | None = Field(description="-1 short, 0 flat, 1 long; null: no opinion")
    type: Literal["OPEN_LONG", "OPEN_SHORT", "CLOSE_LONG", "CLOSE_SHORT", "HOLD"]
    confidence: float
    reasons: list[str]
    indicator_snapshot: dict[str, Any]
    input_digest: str
    origin: Literal["live", "backfill", "repair"]
    recorded_at: datetime
    warmed: bool = Field(description="it saw bars of another venue: see warm_up")


class DecisionsPage(Page):
    """Decisions, ascending by time, then by strategy."""

    symbol: str
    feed: Feed
    interval: str
    align: str
    count: int
    as_of: datetime | None
    warm_up: WarmUpOfSymbol | None = Field(description="of the symbol, if the settings give it one")
    data: list[Decision]


class StrategyParameter(BaseModel):
    """What a user may choose, from low to high."""

    name: str
    type: Literal["int", "float"]
    default: float
    low: float
    high: float
    description: str


class Configured(BaseModel):
    """Where a strategy is at work."""

    interval: str
    parameters: dict[str, float]


class StrategyDescription(BaseModel):
    """A strategy."""

    name: str
    display_name: str
    description: str
    parameters: list[StrategyParameter]
    fixed: dict[str, float]
    direction: Literal["long", "short", "both"]
    exits: dict[str, float | None]
    plots: list[str]
    configured: list[Configured]


class Strategies(BaseModel):
    """All strategies, by name."""

    count: int
    data: list[StrategyDescription]


class InstrumentDescription(BaseModel):
    """An instrument at a venue."""

    symbol: str
    aliases: list[str]
    venue: str
    venue_symbol: str
    price_decimals: int
    volume_decimals: int
    quote_decimals: int
    first_minute: datetime | None
    last_minute: datetime | None


class Instruments(BaseModel):
    """All instruments, and the intervals whose bars are stored."""

    feed: Feed
    count: int
    materialized_intervals: list[str]
    data: list[InstrumentDescription]


class QualityProblem(BaseModel):
    """A gap, a rejected row, an anomaly or a failure; a gap is whole, though it is stored in days."""

    ids: list[int]
    kind: Literal["gap", "rejected_row", "anomaly", "failure"]
    symbol: str
    interval: str
    start_time: datetime | None
    end_time: datetime | None
    minutes: int | None
    reason: str
    payload: Any
    retries: int
    detected_at: datetime
    resolved: bool
    resolved_at: datetime | None


class QualityPage(Page):
    """Problems, ascending by when they start."""

    feed: Feed
    count: int
    data: list[QualityProblem]


class Stats(BaseModel):
    """The 1,440 minutes up to the last stored one."""

    symbol: str
    feed: Feed
    window_start: datetime
    window_end: datetime = Field(description="when the last stored minute closed")
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float
    quote_volume: float | None
    trades: int | None
    change: float | None = Field(description="close less open")
    change_percent: float | None
    minutes: int = Field(description="minutes known, the quiet ones among them")
    quiet_minutes: int
    missing_minutes: int
