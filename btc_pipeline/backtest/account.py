"""The account that a backtest trades: capital, size, costs, exits, limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from typing import Final

from btc_pipeline.backtest.fees import UNKNOWN_VENUE, Fee
from btc_pipeline.errors import UserError
from btc_pipeline.strategies.base import Direction, Exits

MOST_LEVERAGE: Final = 40.0
"""What Hyperliquid gives on BTC."""
STRESS_SLIPPAGE_BPS: Final = 10.0
DEFAULT_SLIPPAGE_BPS: Final = {"BTC": 1.0}
"""By symbol; others have the stress value."""
DEFAULT_CAPITAL: Final = 10_000.0
MAINTENANCE_MARGIN: Final = 0.0125
"""Share of a position's value below which equity liquidates it: half the initial margin at the highest leverage."""


@dataclass(frozen=True, slots=True)
class Account:
    """How an account trades. Money is in quote currency.

    Attributes:
        capital: at the start.
        size: share of equity that a position and its fee take, up to `leverage`; 1.0 is all of it.
        notional: a fixed position value instead; one that leverage does not allow (any more, with its fee) is cut to
            what it allows. None: by `size`.
        compounding: size follows equity; else the capital of the start.
        direction: sides that it may take.
        leverage: the most that a position may be worth, in equity.
        fees: the table, ascending; of a fill the row valid at its time counts.
        slippage_bps: what a fill is worse than its price; `stress_slippage_bps`: of the second result.
        exits: stop, target, trailing, as fractions of the entry price (trailing: of the best price since).
        maintenance_margin: share of a position's value below which equity liquidates it.
        lot_decimals: a quantity is cut to so many decimals.

    Raises:
        UserError: a value is out of bounds; the message names field, value and bounds.
    """

    capital: float = DEFAULT_CAPITAL
    size: float = 1.0
    notional: float | None = None
    compounding: bool = True
    direction: Direction = Direction.BOTH
    leverage: float = 1.0
    fees: tuple[Fee, ...] = UNKNOWN_VENUE
    slippage_bps: float = STRESS_SLIPPAGE_BPS
    stress_slippage_bps: float = STRESS_SLIPPAGE_BPS
    exits: Exits = field(default_factory=Exits)
    maintenance_margin: float = MAINTENANCE_MARGIN
    lot_decimals: int = 8

    def __post_init__(self) -> None:
        _within("capital", self.capital, 0.0, 1e12, above=True)
        _within("leverage", self.leverage, 0.0, MOST_LEVERAGE, above=True)
        _within("size", self.size, 0.0, MOST_LEVERAGE, above=True)
        if self.size > self.leverage:
            raise UserError(
                f"size {self.size:g} is above leverage {self.leverage:g}: raise leverage (at most {MOST_LEVERAGE:g}).",
                field="size",
            )
        if self.notional is not None:
            _within("notional", self.notional, 0.0, 1e12, above=True)
        _within("slippage_bps", self.slippage_bps, 0.0, 1_000.0)
        _within("stress_slippage_bps", self.stress_slippage_bps, 0.0, 1_000.0)
        _within("maintenance_margin", self.maintenance_margin, 0.0, 0.5)
        if self.maintenance_margin * self.leverage >= 1.0:
            raise UserError(
                f"maintenance_margin {self.maintenance_margin:g} is not below 1 / leverage {self.leverage:g}: "
                "a position would be liquidated as it opens.",
                field="maintenance_margin",
            )
        _within("lot_decimals", self.lot_decimals, 0, 12)
        for name in ("stop", "target", "trailing"):
            value = getattr(self.exits, name)
            if value is not None:
                _within(name, value, 0.0, 1.0 if name != "target" else 100.0, above=True)
        if not self.fees:
            raise UserError("fees has no row: give one with a date and basis points.", field="fees")
        for fee in self.fees:
            _within("taker_fee_bps", fee.taker_bps, 0.0, 1_000.0)
        for fee, later in pairwise(self.fees):
            if later.valid_from <= fee.valid_from:
                raise UserError(
                    f"fees valid from {later.valid_from} follow those from {fee.valid_from}: rows ascend by date.",
                    field="fees",
                )

    @property
    def notes(self) -> list[str]:
        """What of it changes nothing, a sentence each."""
        if self.leverage > 1.0 >= self.size and self.notional is None and self.compounding:
            return [f"Leverage {self.leverage:g} is not used: size {self.size:g} takes {self.size:g} x equity."]
        return []


def _within(name: str, value: float, low: float, high: float, *, above: bool = False) -> None:
    if not isfinite(value) or value > high or value < low or (above and value == low):
        allowed = f"above {low:g}, {high:,.15g} at most" if above else f"from {low:g} to {high:,.15g}"
        raise UserError(f"{name} {value!r} is not valid: give one {allowed}.", field=name)
