"""What a user asks of a backtest, checked once for the command, the API, notebooks and Dagster's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from btc_pipeline.backtest.account import DEFAULT_CAPITAL, MOST_LEVERAGE, Account
from btc_pipeline.backtest.fees import Fee, fee_table
from btc_pipeline.errors import UserError
from btc_pipeline.market.instruments import PRIMARY_SYMBOL, canonical_symbol, split_symbol
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Interval
from btc_pipeline.problems import sentence
from btc_pipeline.settings import Settings
from btc_pipeline.storage.times import to_date, to_day
from btc_pipeline.strategies.base import Direction, Exits
from btc_pipeline.strategies.decisions import StrategyOnInterval

DEFAULT_STRATEGY: Final = "ma44"
DEFAULT_INTERVAL: Final = "37m"
EARLIEST: Final = date(1970, 1, 1)
LATEST: Final = date(2200, 1, 1)
ALWAYS: Final = EARLIEST
EXITS: Final = ("stop", "target", "trailing")


def parse_date(value: object) -> object:
    """A date from one, or from text such as 2016-01-31; None for None.

    Raises:
        ValueError: anything else; a time of day has no place here.
    """
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    try:
        if isinstance(value, str) and len(value) == len("2016-01-31"):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise ValueError("is not a date: write 2016-01-31 (UTC)")


def parse_interval(text: str) -> str:
    """The one name of an interval: `1h` of `60m`.

    Raises:
        ValueError: it is none; the message says which are.
    """
    try:
        return Interval.parse(text).name
    except UserError as error:
        raise ValueError(str(error)) from error


def python_value(value: object) -> object:
    """A scalar of NumPy as Python's, which JSON has; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def parse_number(value: object) -> object:
    """A parameter's whole float as the integer that it equals, for `1e2` is one; anything else as it is."""
    number = python_value(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


Day = Annotated[date, BeforeValidator(parse_date)]


class BacktestRequest(BaseModel):
    """One run, as it is asked for. What is left out has the default of the settings, the strategy or the venue.

    Attributes:
        start, end: UTC dates, `end` exclusive; None: the day after the last closed day that has minutes.
        parameters: of the strategy; the others have their defaults.
        direction: sides the account may take; the strategy's own by default.
        stop, target, trailing: exits as fractions; the strategy's own by default, 0 switches one off.
        taker_fee_bps: instead of the venue's fee table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbol: str = Field(PRIMARY_SYMBOL, description="BTC, or NAME.VENUE such as BTCUSD.BITFINEX")
    interval: Annotated[str, AfterValidator(parse_interval)] = Field(DEFAULT_INTERVAL, description="such as 37m")
    start: Day = Field(description="first day, UTC")
    end: Day | None = Field(None, description="day after the last, UTC; by default the last closed day is the last")
    strategy: str = Field(DEFAULT_STRATEGY, description="its name")
    parameters: dict[str, Annotated[Any, BeforeValidator(parse_number)]] = Field(
        default_factory=dict, description="of the strategy, such as period: 44"
    )
    capital: float = Field(DEFAULT_CAPITAL, description="at the start, quote currency")
    size: float = Field(1.0, description="share of equity that a position takes")
    notional: float | None = Field(None, description="a fixed position value instead of size, quote currency")
    compounding: bool = Field(default=True, description="size follows equity; else the capital of the start")
    direction: Direction | None = Field(None, description="long, short or both; by default the strategy's own")
    leverage: float = Field(1.0, description="the most that a position may be worth, in equity")
    stop: float | None = Field(None, description="loss that closes a position, fraction of its entry price; 0: none")
    target: float | None = Field(None, description="profit that closes it, fraction of its entry price; 0: none")
    trailing: float | None = Field(None, description="fall from the best price since that closes it, fraction; 0: none")
    slippage_bps: float | None = Field(None, description="what a fill is worse than its price, basis points")
    taker_fee_bps: float | None = Field(None, description="instead of the venue's fees, basis points")

    _python = field_validator("*", mode="before")(python_value)

    @field_validator("symbol")
    @classmethod
    def _symbol(cls, symbol: str) -> str:
        try:
            return canonical_symbol(symbol)
        except UserError as error:
            raise ValueError(str(error)) from error

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The request that a mapping asks for; None means that a value is left out.

        Raises:
            UserError: a value cannot be accepted; the message names field, value and what would be right.
        """
        try:
            return cls(**{name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            problems = [sentence(problem, list(cls.model_fields)) for problem in error.errors()]
            raise UserError(" ".join(said for _, said in problems), field=problems[0][0]) from error

    def given(self) -> dict[str, Any]:
        """What was asked for, as JSON has it; `of` makes the same request of it."""
        unused = {"size"} if self.notional is not None else None
        return self.model_dump(mode="json", exclude_none=True, exclude=unused)


@dataclass(frozen=True, slots=True)
class DataRange:
    """The epoch minutes of a symbol's first and last stored minute, and the day that is not over yet."""

    first: int
    last: int
    today: int

    @property
    def days(self) -> range:
        """The days from the first minute to the last."""
        return range(self.first // MINUTES_PER_DAY, self.last // MINUTES_PER_DAY + 1)

    @property
    def end(self) -> int:
        """The day after the last closed day that has minutes."""
        return min(self.today, self.days.stop)

    def words(self) -> str:
        """What range has data."""
        return f"there are minutes from {to_date(self.days.start)} to {to_date(self.days.stop - 1)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A request with everything decided: `days` since 1970-01-01, parameters resolved, the account complete."""

    symbol: str
    one: StrategyOnInterval
    days: range
    account: Account

    def on(self, one: StrategyOnInterval) -> Plan:
        """The same account and days with another strategy or other parameters."""
        return replace(self, one=one)


def plan_backtest(request: BacktestRequest, settings: Settings, data: DataRange) -> Plan:
    """Decides what the request has left open, and checks what it says against strategies, account and data.

    Raises:
        UserError: unknown strategy or parameter (the nearest name is offered), a value out of bounds, a start that is
            not before the end, a range in which nothing is stored or no bar has room.
    """
    strategy = settings.registry.get(request.strategy)
    try:
        parameters = strategy.resolve(request.parameters)
    except UserError as error:
        # Its names may be those of a request's own fields.
        raise UserError(str(error), field=f"parameters.{error.field}") from error
    one = StrategyOnInterval(strategy, parameters, Interval.parse(request.interval))
    one.specs()
    account = account_of(request, settings, strategy.exits)
    days = days_of(request, data)
    _check_room(request, one.interval, days)
    return Plan(request.symbol, one, days, account)


def days_of(request: BacktestRequest, data: DataRange) -> range:
    """The days of a run; before the first stored minute there are none.

    Raises:
        UserError: the range is empty, not over yet, or nothing is stored in it.
    """
    for field, value in (("start", request.start), ("end", request.end)):
        if value is not None and not EARLIEST <= value < LATEST:
            raise UserError(f"{field} {value} is out of range: use a date from 1970 to 2199.", field=field)
    first, end = to_day(request.start), data.end if request.end is None else to_day(request.end)
    if end > data.today:
        last = to_date(data.today)
        raise UserError(
            f"end {request.end} is in the future: use {last} at most, for its day is not over.", field="end"
        )
    nothing = first * MINUTES_PER_DAY > data.last or end * MINUTES_PER_DAY <= data.first
    if first >= end and not (nothing and request.end is None):
        raise UserError(
            f"start {request.start} is not before end {to_date(end)}: the end is the day after the last.", field="start"
        )
    if nothing:
        until = "on" if request.end is None else f"to {request.end - timedelta(days=1)}"
        raise UserError(
            f"start {request.start}: {request.symbol} has no minutes from then {until}; {data.words()}.", field="start"
        )
    # Days of which nothing can be known would count in every annualised figure.
    return range(max(first, data.days.start), end)


def _check_room(request: BacktestRequest, interval: Interval, days: range) -> None:
    """A bar opens and closes within the days; of days that nobody gave the message says where they are from."""
    if interval.slot(days.start * MINUTES_PER_DAY - 1) + 1 < interval.slot(days.stop * MINUTES_PER_DAY):
        return
    given = days.start == to_day(request.start)
    since = "then" if given else f"{to_date(days.start)}, where its minutes begin,"
    until = f"{to_date(days.stop)}, where the last closed day ends" if request.end is None else f"end {request.end}"
    raise UserError(
        f"start {request.start}: no bar of {interval} opens and closes from {since} to {until}: use a longer range.",
        field="start",
    )


def account_of(request: BacktestRequest, settings: Settings, exits: Exits) -> Account:
    """The account that a request describes; `exits` are the strategy's own.

    Raises:
        UserError: a value is out of bounds, or two exclude each other.
    """
    defaults, venue = settings.backtest, split_symbol(request.symbol)[0]
    stress = defaults.stress_slippage_bps
    slippage = request.slippage_bps
    try:
        account = Account(
            capital=request.capital,
            size=request.size,
            notional=request.notional,
            compounding=request.compounding,
            direction=request.direction or Direction.BOTH,
            leverage=request.leverage,
            fees=_fees(request.taker_fee_bps, settings, venue),
            slippage_bps=defaults.slippage_bps.get(request.symbol, stress) if slippage is None else slippage,
            stress_slippage_bps=stress,
            exits=Exits(
                stop=_exit(request.stop, exits.stop),
                target=_exit(request.target, exits.target),
                trailing=_exit(request.trailing, exits.trailing),
            ),
        )
    except UserError as error:
        if error.field not in EXITS or getattr(request, error.field) is None:
            raise
        raise UserError(f"{str(error).removesuffix('.')}, or 0 for none.", field=error.field) from error
    _check_notional(request, account)
    return account


def _check_notional(request: BacktestRequest, account: Account) -> None:
    """A fixed value is instead of a size, and one that the account can hold at its start.

    It is no bound of `Account`: one that has lost goes on to the next walk-forward window with what leverage allows.
    """
    if account.notional is None:
        return
    if "size" in request.model_fields_set:
        raise UserError(
            f"notional {account.notional:.15g} and size {account.size:.15g} exclude each other: give one of them.",
            field="notional",
        )
    most = account.leverage * account.capital
    if account.notional > most:
        raise UserError(
            f"notional {account.notional:.15g} is above leverage {account.leverage:.15g} x capital "
            f"{account.capital:.15g}: use {most:.15g} at most, or raise leverage (at most {MOST_LEVERAGE:g}).",
            field="notional",
        )


def _exit(asked: float | None, own: float | None) -> float | None:
    if asked is None:
        return own
    return None if asked == 0 else asked


def _fees(taker_fee_bps: float | None, settings: Settings, venue: str) -> tuple[Fee, ...]:
    if taker_fee_bps is not None:
        return (Fee(ALWAYS, taker_fee_bps, taker_fee_bps),)
    return settings.backtest.fee_tables.get(venue) or fee_table(venue)
