"""The sections of the settings: each a mapping in `config/pipeline.yaml`, typed, with its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from btc_pipeline.backtest.account import DEFAULT_SLIPPAGE_BPS, STRESS_SLIPPAGE_BPS
from btc_pipeline.backtest.fees import Fee
from btc_pipeline.errors import UserError
from btc_pipeline.indicators.registry import IndicatorSpec
from btc_pipeline.market.basis import BasisRule, Comparison
from btc_pipeline.market.instruments import canonical_symbol
from btc_pipeline.market.intervals import Interval

DEFAULT_INTERVALS: Final = ("37m", "148m", "1d")


def canonical_intervals(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each interval once, by its one name; ValueError for what is none."""
    return tuple(dict.fromkeys(value_error(Interval.parse, name).name for name in names))


def value_error(function: Any, *arguments: Any) -> Any:
    """Calls a function of ours inside a pydantic validator, which wants ValueError."""
    try:
        return function(*arguments)
    except UserError as error:
        raise ValueError(str(error)) from error


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UsabilitySettings(_Section):
    """When a bar may carry an opinion."""

    minimum_coverage_percent: float = Field(
        99.0, ge=0, le=100, description="share of a bar's minutes that must be known"
    )
    closing_minute_required: bool = Field(default=True, description="whether the bar's last minute must be among them")


class IndicatorSettings(_Section):
    """An indicator to be stored, under its name in `indicators`."""

    indicator: str = Field(description="name in the registry, such as sma")
    parameters: dict[str, int | float] = Field(default_factory=dict)
    intervals: tuple[str, ...] = DEFAULT_INTERVALS

    _intervals = field_validator("intervals")(canonical_intervals)

    @cached_property
    def spec(self) -> IndicatorSpec:
        return IndicatorSpec.of(self.indicator, self.parameters)


class StrategySettings(_Section):
    """A strategy whose decisions are logged."""

    strategy: str
    parameters: dict[str, int | float] = Field(default_factory=dict)
    intervals: tuple[str, ...] = DEFAULT_INTERVALS

    _intervals = field_validator("intervals")(canonical_intervals)


class VenueSettings(_Section):
    """Where a venue is, if not at its usual addresses."""

    websocket_url: str | None = Field(None, pattern=r"^wss?://")
    api_url: str | None = Field(None, pattern=r"^https?://", description="without a path")
    archive_url: str | None = Field(None, pattern=r"^https?://")


class ReplaySettings(_Section):
    """The local exchange that stands in for the real one (`feed: replay`)."""

    port: int = Field(8765, ge=1, le=65535)
    file: Path | None = Field(None, description="a candle file to serve; without one, a made-up market")
    seed: int = Field(1, ge=0, description="of the made-up market")


class CollectorSettings(_Section):
    """The service that lands minutes."""

    metrics_host: str = Field("127.0.0.1", description="address that Prometheus metrics are served on")
    metrics_port: int = Field(9101, ge=1, le=65535)
    spool_megabytes: int = Field(256, ge=1, description="minutes on disk while the database is away; then it says so")
    omitted_minutes: Literal["gap", "quiet"] = Field(
        "gap", description="what a closed minute is that REST leaves out, though it gives those around it"
    )
    trades: bool = Field(
        default=False, description="take the trades, too: volumes that candles lack, and a check of those they have"
    )
    keep_trades_days: int = Field(
        0, ge=0, description="how long raw trades are kept, by whole months; 0: no more are, what is there stays"
    )

    @model_validator(mode="after")
    def _kept_if_taken(self) -> Self:
        if self.keep_trades_days and not self.trades:
            raise ValueError(f"keep_trades_days is {self.keep_trades_days}, but no trades are taken: set trades: true")
        return self


class CrossCheckSettings(_Section):
    """Two symbols whose closes are compared, minute by minute."""

    symbol: str
    against: str
    alert_bps: float = Field(30.0, gt=0, description="distance of the basis from its rolling median, in basis points")
    alert_minutes: int = Field(3, ge=1, description="so many minutes in a row")
    median_minutes: int = Field(1_440, ge=10, description="of how many minutes the median is")

    @field_validator("symbol", "against")
    @classmethod
    def _symbols(cls, symbol: str) -> str:
        canonical: str = value_error(canonical_symbol, symbol)
        return canonical

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.symbol == self.against:
            raise ValueError(f"{self.symbol} cannot be checked against itself: name a symbol of another venue")
        return self

    @property
    def comparison(self) -> Comparison:
        return Comparison(self.symbol, self.against, BasisRule(self.alert_bps, self.alert_minutes, self.median_minutes))


class FeeSettings(_Section):
    """Basis points of a fill's value from a day (UTC) on."""

    valid_from: date
    taker_bps: float = Field(ge=0, le=1_000)
    maker_bps: float = Field(0.0, ge=0, le=1_000)


class BacktestSettings(_Section):
    """What a backtest's account has that does not say otherwise."""

    slippage_bps: dict[str, Annotated[float, Field(ge=0, le=1_000)]] = Field(
        default_factory=lambda: dict(DEFAULT_SLIPPAGE_BPS),
        description="what a fill is worse than its price, by symbol, in basis points; others have the stress value",
    )
    stress_slippage_bps: float = Field(STRESS_SLIPPAGE_BPS, ge=0, le=1_000, description="of the second result")
    fees: dict[str, tuple[FeeSettings, ...]] = Field(
        default_factory=dict,
        description="by venue, instead of its table: {BITFINEX: [{valid_from: ..., taker_bps: 20}]}",
    )

    @field_validator("fees", mode="before")
    @classmethod
    def _venue_names(cls, fees: Any) -> Any:
        """The environment's names come in small letters."""
        return {str(name).upper(): one for name, one in fees.items()} if isinstance(fees, Mapping) else fees

    @field_validator("slippage_bps")
    @classmethod
    def _symbols(cls, slippage_bps: dict[str, float]) -> dict[str, float]:
        return {value_error(canonical_symbol, symbol): value for symbol, value in slippage_bps.items()}

    @property
    def fee_tables(self) -> dict[str, tuple[Fee, ...]]:
        """`fees`, ascending by date."""
        return {
            venue: tuple(
                Fee(row.valid_from, row.taker_bps, row.maker_bps)
                for row in sorted(rows, key=lambda row: row.valid_from)
            )
            for venue, rows in self.fees.items()
        }
