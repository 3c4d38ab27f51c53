"""What the API answers about whether all is well: models for its description, as in `schemas`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field

from api.schemas import Feed


class CollectorHealth(BaseModel):
    """The collection of one symbol: progress is minutes that landed, not a process that lives."""

    symbol: str
    feed: Feed
    healthy: bool
    message: str = Field(description="what is wrong, else what it is doing")
    warnings: list[str]
    connection: str
    process: str = Field(description="HOST/PID")
    heartbeat_at: datetime
    heartbeat_age_seconds: int
    last_minute: datetime | None
    accounted_until: datetime | None = Field(
        description="all closed minutes before have landed, or the exchange was asked and has none"
    )
    progress_age_seconds: int | None = Field(description="since then, by the exchange's clock")
    minutes_landed: int
    spooled_minutes: int = Field(description="on disk, because the database was away")
    spooled_bytes: int
    clock_offset_ms: float | None = Field(description="the exchange's clock less this machine's")


class LastDecision(BaseModel):
    """The newest decision of a symbol."""

    time: datetime
    decided_at: datetime = Field(description="the close of its bar")
    interval: str
    strategy: str
    type: Literal["OPEN_LONG", "OPEN_SHORT", "CLOSE_LONG", "CLOSE_SHORT", "HOLD"]
    target: int | None
    recorded_at: datetime


class Readiness(BaseModel):
    """Whether a strategy can have an opinion at the last closed bar of an interval."""

    strategy: str
    parameters: dict[str, float]
    interval: str
    ready: bool = Field(description="false, too, of a strategy that has not decided though bars are stored")
    first_due: datetime | None = Field(
        description="else the close at which it first can, if all that comes is usable; null if that cannot be said"
    )
    bars_missing: int
    bars_needed: int
    bars_interval: str = Field(description="the interval whose history it waits for longest")
    reason: str


class SymbolHealth(BaseModel):
    """One symbol's data; `collector`, `feed` and `readiness` where it is collected."""

    symbol: str
    venue: str | None
    feed: Feed | None
    first_day: date | None
    last_day: date | None
    last_minute: datetime | None
    age_seconds: int | None = Field(description="since the last stored minute closed")
    minutes: int
    touched_days: int = Field(description="days whose minutes changed since they were last looked at; today is one")
    neglected_days: int = Field(description="those among them that nobody has looked at for an hour and a half")
    open_gaps: int
    recent_open_gaps: int = Field(description="those of the last seven days before the last minute")
    missing_minutes: int
    rejected_rows: int
    collector: CollectorHealth | None
    last_decision: LastDecision | None
    readiness: list[Readiness]
    problems: list[str]
    warnings: list[str]


class Health(BaseModel):
    """`degraded` if any symbol has a problem; the service itself answers. The same as `btc-pipeline health`."""

    status: Literal["ok", "degraded"]
    time: datetime
    feed: Feed
    database: Literal["ok"]
    problems: list[str]
    warnings: list[str]
    symbols: list[SymbolHealth]
