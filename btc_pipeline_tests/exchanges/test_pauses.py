"""A pause that a venue wants is kept by every process of a data folder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from btc_pipeline.exchanges.base import Coin, History, RateLimitedError, VenueUnavailableError
from btc_pipeline.exchanges.pauses import PausedRest
from btc_pipeline.timing.clock import LoopClock
from btc_pipeline_tests.exchanges.served import run


class LimitedRest:
    """A venue that wants a pause of so many seconds at each request, or none."""

    venue = "BINANCE"
    retention_minutes = None

    def __init__(self, clock: LoopClock, pause: float | None) -> None:
        self._clock = clock
        self.pause = pause
        self.asked = 0

    async def coins(self, wanted: Collection[str]) -> dict[str, Coin]:
        raise VenueUnavailableError("away")

    async def history(self, coin: str, start: int, end: int) -> History:
        self.asked += 1
        if self.pause is not None:
            raise RateLimitedError("too many requests", self.pause)
        return History([])

    async def time(self) -> float:
        self.asked += 1
        return self._clock.now()

    async def close(self) -> None:
        pass


def test_what_one_process_was_told_another_one_keeps(tmp_path: Path) -> None:
    async def work(clock: LoopClock) -> None:
        mine, others = LimitedRest(clock, 100.0), LimitedRest(clock, None)
        with pytest.raises(RateLimitedError, match="too many requests"):
            await PausedRest(mine, tmp_path / "data", clock).history("BTCUSDT", 0, 1)
        other = PausedRest(others, tmp_path / "data", clock)
        await clock.sleep(60)
        with pytest.raises(RateLimitedError, match="40 s of which are left") as caught:
            await other.time()
        assert caught.value.retry_after == pytest.approx(40)
        assert others.asked == 0
        await clock.sleep(40)
        assert await other.time() == clock.now()
        assert [file.name for file in (tmp_path / "data" / "pauses").iterdir()] == ["BINANCE"]

    run(work)


def test_a_longer_pause_takes_the_place_of_a_shorter_one_and_never_the_other_way_round(tmp_path: Path) -> None:
    async def work(clock: LoopClock) -> None:
        rest = LimitedRest(clock, 300.0)
        first, second = PausedRest(rest, tmp_path, clock), PausedRest(rest, tmp_path, clock)
        with pytest.raises(RateLimitedError):
            await first.history("BTCUSDT", 0, 1)
        rest.pause = 10.0
        second._keep(10.0)
        with pytest.raises(RateLimitedError, match="300 s"):
            await second.time()
        second._keep(900.0)
        with pytest.raises(RateLimitedError, match="900 s"):
            await first.time()

    run(work)


def test_a_pause_of_another_time_or_a_file_that_says_nothing_hinders_nobody(tmp_path: Path) -> None:
    async def work(clock: LoopClock) -> None:
        rest = PausedRest(LimitedRest(clock, None), tmp_path, clock)
        (tmp_path / "pauses").mkdir()
        for text in (f"{clock.now() + 5} {clock.now() + 500}", "soon", "", "1 2 3"):
            (tmp_path / "pauses" / "BINANCE").write_text(text)
            assert await rest.time() == clock.now()

    run(work)


def test_other_errors_are_no_pause_and_a_disk_that_takes_nothing_does_no_harm(tmp_path: Path) -> None:
    async def work(clock: LoopClock) -> None:
        (tmp_path / "file").write_text("")
        rest = PausedRest(LimitedRest(clock, 100.0), tmp_path / "file", clock)
        with pytest.raises(VenueUnavailableError, match="away"):
            await rest.coins(["BTCUSDT"])
        with pytest.raises(RateLimitedError, match="too many requests"):
            await rest.history("BTCUSDT", 0, 1)
        assert rest.retention_minutes is None

    run(work)
