"""What the API takes and answers about backtests: models for its description, as in `schemas`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)

from api.schemas import Feed, Page
from btc_pipeline.errors import UserError
from btc_pipeline.pipeline.backtest_request import BacktestRequest, Day, parse_interval
from btc_pipeline.problems import shown

# "start 2016-02-01 is not before end 2016-01-05": what errors of a request call its days.
_DAY: Final = re.compile(r"\b(start|end)(?= [0-9]{4}-[0-9]{2}-[0-9]{2}\b)")


class BacktestOrder(BacktestRequest):
    """Runs that are asked for, one an interval."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"example": {"symbol": "BTC", "intervals": ["37m"], "start_date": "2025-01-01"}},
    )
    start: Day = Field(validation_alias=AliasChoices("start_date", "start"), description="first day, UTC")
    end: Day | None = Field(
        None,
        validation_alias=AliasChoices("end_date", "end"),
        description="day after the last, UTC; by default the last closed day is the last",
    )
    intervals: list[Annotated[str, AfterValidator(parse_interval)]] | None = Field(
        None, min_length=1, max_length=50, description="a run each; instead of `interval`"
    )
    _days: dict[str, str] = PrivateAttr({"start": "start_date", "end": "end_date"})

    @model_validator(mode="wrap")
    @classmethod
    def _remember(cls, body: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """What the body calls its days."""
        order = handler(body)
        order._days = {name: name if name in body else alias for name, alias in order._days.items()}
        return order

    def in_its_words(self, error: UserError) -> UserError:
        """An error of one of its requests, with the names of the body's own fields."""
        words = _DAY.sub(lambda found: self._days[found[1]], str(error))
        return type(error)(words, field=self._days.get(error.field or "", error.field))

    def requests(self) -> list[BacktestRequest]:
        """One an interval.

        Raises:
            UserError: the body has both `interval` and `intervals`.
        """
        if self.intervals is not None and "interval" in self.model_fields_set:
            raise UserError(
                f"interval {self.interval} and intervals {shown(self.intervals)} are both given: use one of them.",
                field="interval",
            )
        given = self.model_dump(exclude={"intervals"}, exclude_unset=True) | {"start": self.start}
        names = [self.interval] if self.intervals is None else self.intervals
        found = [BacktestRequest.of({**given, "interval": name}) for name in names]
        return list({one.interval: one for one in found}.values())


class BacktestAccepted(BaseModel):
    """A run that was asked for."""

    id: UUID
    interval: str
    status: Literal["queued", "running", "done"]
    from_store: bool = Field(description="it was made already, and nothing has changed since")
    joined: bool = Field(description="it was asked for already, and is queued or running: no second one is made")
    address: str


class BacktestsAccepted(BaseModel):
    """What was asked for."""

    feed: Feed
    id: UUID = Field(description="of the first run")
    group_id: UUID = Field(description="of all of them, those from the store included: `GET /backtests?group=`")
    count: int
    data: list[BacktestAccepted]


class BacktestSummary(BaseModel):
    """A run."""

    id: UUID
    group_id: UUID = Field(description="of the order that it was made for")
    run_key: str | None = Field(description="digest of everything that can change the result")
    result_hash: str | None = Field(description="digest of every fill")
    status: Literal["queued", "running", "done", "failed"]
    symbol: str
    interval: str
    strategy: str
    configuration: dict[str, Any] = Field(description="the request, with everything that it left open decided")
    message: str | None = Field(description="of a failed run why")
    progress: float
    dagster_run_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class BacktestInList(BacktestSummary):
    """A run with its metrics."""

    metrics: dict[str, int | float | None] | None


class CancelledOrder(BaseModel):
    """An order that was not filled."""

    time: datetime = Field(description="open of the bar at whose close it was decided, UTC")
    reason: str


class BacktestResults(BaseModel):
    """Figures; money in quote currency, returns as fractions, null where undefined."""

    head: list[str] = Field(description="what must be known before the figures are read")
    bars: int
    days: int
    metrics: dict[str, int | float | None]
    stress: dict[str, int | float | None] = Field(description="the same at the stress slippage")
    buy_and_hold: dict[str, int | float | None]
    slippage_bps: float
    stress_slippage_bps: float
    break_even_bps: float | None = Field(description="cost of a fill at which the run ends with what it began with")
    base: dict[str, int | float | None] = Field(description="equity in coins at the start and at the end")
    monthly_returns: list[dict[str, int | float | None]]
    cancelled: dict[str, int] = Field(description="orders that were not filled, by reason")
    cancelled_orders: list[CancelledOrder] = Field(default=[], description="the first of them, 100 at most")
    funding_included: bool
    warmed: int = Field(description="decisions that saw bars of another venue")


class BacktestRunInFull(BacktestSummary):
    """A run with its results."""

    results: BacktestResults | None


class BacktestRun(BacktestRunInFull):
    """A run with its results."""

    feed: Feed


class BacktestsPage(Page):
    """Runs, ascending by when they were asked for."""

    feed: Feed
    count: int
    data: list[BacktestInList]


class BacktestComparison(BaseModel):
    """Runs side by side."""

    feed: Feed
    count: int
    metrics: dict[str, list[int | float | None]]
    data: list[BacktestRunInFull]


class BacktestTrade(BaseModel):
    """A round trip; an open one is marked to the run's last price."""

    number: int
    entry_time: datetime
    exit_time: datetime
    side: Literal[-1, 1] = Field(description="1 long, -1 short")
    quantity: float
    entry_price: float
    exit_price: float
    fees: float
    funding: float
    profit: float = Field(description="after fees and funding")
    reason: Literal["signal", "stop", "target", "trailing", "liquidation", "open"]


class BacktestEquity(BaseModel):
    """An account at a moment."""

    time: datetime
    equity: float
    equity_base: float | None = Field(description="in coins, at that moment's last price")
    drawdown: float = Field(description="fraction below the highest equity so far")


class BacktestDecision(BaseModel):
    """A decision where the target changes."""

    time: datetime
    target: int | None
    type: Literal["OPEN_LONG", "OPEN_SHORT", "CLOSE_LONG", "CLOSE_SHORT", "HOLD"]
    confidence: float
    reasons: list[str]
    indicator_snapshot: dict[str, Any]
    input_digest: str
    warmed: bool


class BacktestPart(Page):
    """A page of what belongs to a run."""

    id: UUID
    feed: Feed
    status: Literal["queued", "running", "done", "failed"]
    message: str | None = Field(description="of a run that is not done why the page is empty")
    count: int


class BacktestTradesPage(BacktestPart):
    """Trades, ascending."""

    data: list[BacktestTrade]


class BacktestEquityPage(BacktestPart):
    """Equity, ascending by time."""

    data: list[BacktestEquity]


class BacktestDecisionsPage(BacktestPart):
    """Decisions, ascending by time."""

    data: list[BacktestDecision]


class Deleted(BaseModel):
    """What is gone."""

    deleted: UUID
