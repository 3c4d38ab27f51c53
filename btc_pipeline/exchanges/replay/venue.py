"""The exchange apart from its wire: its time, its market unrolled, its faults, and what it counts."""

from __future__ import annotations

from btc_pipeline.exchanges.replay.behaviour import Behaviour, EmptyMinute
from btc_pipeline.exchanges.replay.counters import Counters
from btc_pipeline.exchanges.replay.faults import FaultKind, FaultPlan
from btc_pipeline.exchanges.replay.history import History
from btc_pipeline.exchanges.replay.tape import Tape
from btc_pipeline.timing.clock import Clock


class Venue:
    """Everything that a wire needs to know. Moments are UTC seconds since 1970."""

    def __init__(self, name: str, tape: Tape, clock: Clock, behaviour: Behaviour, *, flat_minutes: bool) -> None:
        """
        Args:
            flat_minutes: whether it tells of every minute, of one without trades by a flat row.
        """
        self.name = name
        self.behaviour = behaviour
        self.faults = FaultPlan()
        self.counters = Counters()
        self.tape = tape
        empty_minute = EmptyMinute.FLAT if flat_minutes else behaviour.empty_minute
        self.history = History(tape, behaviour, self.faults, empty_minute, always=flat_minutes)
        self._clock = clock
        self._newest = float("-inf")

    def true_now(self) -> float:
        """The clock's time, on which faults are planned."""
        return self._clock.now()

    def now(self) -> float:
        """The exchange's time: the clock's and a skew, never set back."""
        self._newest = max(self._newest, self._skewed(), self._furthest_by_skew())
        return self._newest

    def until(self, moment: float) -> float:
        """Seconds until the exchange's time is there."""
        self.now()
        return 0.0 if moment <= self._newest else moment - self._skewed()

    def is_on(self, kind: FaultKind) -> bool:
        """Whether a fault lasts now."""
        return self.faults.active(kind, self._clock.now()) is not None

    def amount(self, kind: FaultKind) -> float:
        """The value of the fault that lasts now; 0 without one."""
        fault = self.faults.active(kind, self._clock.now())
        return fault.amount if fault else 0.0

    def _skewed(self) -> float:
        return self._clock.now() + self.amount(FaultKind.SKEW)

    def _furthest_by_skew(self) -> float:
        """Where skews that have begun or ended had taken the time, asked or not."""
        now = self._clock.now()
        reached = float("-inf")
        for fault in self.faults.of_kind(FaultKind.SKEW):
            start = fault.at or 0.0
            if start <= now:
                reached = max(reached, start)
            if start + fault.seconds <= now:
                reached = max(reached, start + fault.seconds + fault.amount)
        return reached
