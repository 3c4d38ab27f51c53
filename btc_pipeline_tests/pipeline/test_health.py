"""Health: what rows of the database mean, at which moment a strategy's first decision is due, and the statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btc_pipeline.market.candles import Candles, Scale
from btc_pipeline.market.intervals import DAY, Interval
from btc_pipeline.pipeline.collection import in_words
from btc_pipeline.pipeline.health import (
    CollectorHealth,
    HealthReport,
    assess_collector,
    assess_health,
    health_questions,
)
from btc_pipeline.pipeline.readiness import StoredBars, assess_readiness
from btc_pipeline.settings import Settings
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.health import read
from btc_pipeline.storage.times import to_datetime, to_minute
from btc_pipeline.strategies import FLAT, LONG, Input, Opinions, Strategy
from btc_pipeline.strategies.decisions import StrategyOnInterval

NOW = datetime(2026, 11, 21, 12, 34, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
M37 = Interval.parse("37m")


def settings(**more: Any) -> Settings:
    return Settings(strategies_folder=Path("/nonexistent"), **more)


def collector_row(**changes: Any) -> dict[str, Any]:
    """A collector that streams, 20 seconds after a close."""
    last = NOW.replace(second=0)
    return {
        "symbol": "BTC",
        "feed": "live",
        "process": "nas/17",
        "connection": "streaming",
        "message": "streaming",
        "started_at": NOW - timedelta(hours=5),
        "heartbeat_at": NOW - timedelta(seconds=2),
        "connected_at": NOW - timedelta(hours=5),
        "last_frame_at": NOW - timedelta(seconds=1),
        "accounted_until": last,
        "minutes_landed": 300,
        "spooled_minutes": 0,
        "spooled_bytes": 0,
        "clock_offset_ms": 12.5,
        "exchange_at": None,
        "newest_minute": last - MINUTE,
        **changes,
    }


def symbol_row(**changes: Any) -> dict[str, Any]:
    return {
        "symbol": "BTC",
        "venue": "HYPERLIQUID",
        "first_day": NOW.date() - timedelta(days=3),
        "last_day": NOW.date(),
        "minutes": 4321,
        "touched_days": 1,
        "neglected_days": 0,
        "open_gaps": 0,
        "missing_minutes": 0,
        "rejected_rows": 0,
        "newest_minute": NOW.replace(second=0) - MINUTE,
        "recent_open_gaps": 0,
        "final_gaps": 0,
        "fillable_since": [],
        **changes,
    }


def assess(
    symbols: Sequence[Mapping[str, Any]] = (),
    collectors: Sequence[Mapping[str, Any]] = (),
    bars: Sequence[Mapping[str, Any]] = (),
    decisions: Sequence[Mapping[str, Any]] = (),
    now: datetime = NOW,
    chosen: Settings | None = None,
) -> HealthReport:
    rows = {"symbols": symbols, "collectors": collectors, "bars": bars, "warm_bars": [], "decisions": decisions}
    return assess_health(rows, chosen or settings(), now)


def bars_row(interval: Interval, slots: Sequence[int], recorded: datetime | None = None) -> dict[str, Any]:
    """Bars stored at their close, or all of them at once."""
    return {
        "symbol": "BTC",
        "interval": interval.name,
        "times": [to_datetime(interval.open(slot)) for slot in slots],
        "usable": [True] * len(slots),
        "recorded": [recorded or to_datetime(interval.close(slot)) for slot in slots],
    }


def decision_row(interval: Interval, slot: int, strategy: str = "ma44", period: int = 44) -> dict[str, Any]:
    return {
        "symbol": "BTC",
        "interval": interval.name,
        "strategy": strategy,
        "parameters": f'{{"period":{period}}}',
        "time": to_datetime(interval.open(slot)),
        "type": "HOLD",
        "target": None,
        "recorded_at": NOW,
    }


def one(now: datetime = NOW, **changes: Any) -> CollectorHealth:
    (found,) = assess_collector([collector_row(**changes)], now)
    return found


def test_a_collector_whose_minutes_land_is_healthy() -> None:
    assert (one().healthy, one().message, one().warnings) == (True, "streaming", ())
    assert one().progress_age_seconds == 20


def test_a_collector_that_hangs_is_unhealthy_within_two_minutes_of_its_last_minute() -> None:
    for seconds in range(20, 400, 5):
        now = NOW + timedelta(seconds=seconds - 20)
        hung = one(now, heartbeat_at=now)
        assert hung.healthy is (seconds <= 90), seconds
    hung = one(NOW + timedelta(minutes=4), heartbeat_at=NOW + timedelta(minutes=4))
    assert hung.message == (
        "no minute was accounted for in 4 min: minutes are known up to 2026-11-21 12:34 UTC (streaming: streaming)"
    )


def test_a_heartbeat_without_minutes_is_no_health_and_neither_is_progress_that_stores_nothing() -> None:
    assert not one(accounted_until=None, newest_minute=None, connection="connecting", message="connecting").healthy
    assert not one(newest_minute=None).healthy
    quiet = one(newest_minute=NOW.replace(second=0) - timedelta(minutes=31))
    assert quiet.message == "the exchange answers and has no minute since 2026-11-21 12:03 UTC"


def test_a_process_that_is_gone_is_named_with_what_starts_it() -> None:
    later = NOW + timedelta(minutes=5)
    assert one(later).message == (
        "nothing was heard of the collector (process nas/17) since 2026-11-21 12:34 UTC: "
        "minutes are known up to 2026-11-21 12:34 UTC; btc-pipeline up starts it"
    )


def test_a_clean_stop_is_said_as_such_at_once() -> None:
    stopped = one(connection="stopped")
    assert not stopped.healthy
    assert stopped.message == "the collector stopped at 2026-11-21 12:34 UTC; btc-pipeline up starts it"


def test_an_exchange_that_cannot_be_reached_is_a_problem_at_once_with_the_reason() -> None:
    away = one(connection="unreachable", message="connection refused")
    assert (away.healthy, away.message) == (
        False,
        "the exchange cannot be reached: minutes are known up to 2026-11-21 12:34 UTC (connection refused)",
    )


def test_minutes_in_the_spool_are_a_problem_though_all_is_accounted_for() -> None:
    spooling = one(spooled_minutes=1200, spooled_bytes=240_000)
    assert (spooling.healthy, spooling.message) == (False, "1,200 minutes wait on disk (0.2 MB) to be written")


@pytest.mark.parametrize(("offset", "words"), [(1000.0, None), (1700.0, "1.7 s ahead of"), (-2000.0, "2.0 s behind")])
def test_a_clock_that_is_off_is_a_warning(offset: float, words: str | None) -> None:
    found = one(clock_offset_ms=offset)
    assert found.healthy
    assert (words is None and found.warnings == ()) or words in found.warnings[0]


def test_progress_is_measured_by_the_exchanges_clock_and_goes_on_when_the_loop_does_not() -> None:
    past = datetime(2023, 3, 20, 7, 0, 0, tzinfo=UTC)
    replayed = {"accounted_until": past, "newest_minute": past - MINUTE, "exchange_at": past + timedelta(seconds=18)}
    assert one(**replayed).progress_age_seconds == 20
    assert one(**replayed).healthy
    assert not one(NOW + timedelta(seconds=75), **replayed).healthy


def test_an_outage_of_days_says_when_the_exchange_forgets() -> None:
    for hours, words in ((59, None), (61, "the exchange forgets them at 83 h"), (90, "has forgotten")):
        message = one(NOW + timedelta(hours=hours)).message
        assert (words is None and "forg" not in message) or words in message


def test_a_symbol_that_is_not_collected_any_more_is_not_live() -> None:
    rows = [collector_row(symbol="ETH", connection="stopped"), collector_row()]
    assert [found.symbol for found in assess_collector(rows, NOW, ["BTC"])] == ["BTC"]
    assert [found.symbol for found in assess_collector(rows, NOW, ["ETH"])] == ["ETH", "BTC"]


def test_an_imported_history_that_ended_is_well() -> None:
    report = assess([symbol_row(symbol="BTCUSD.BITFINEX", newest_minute=NOW - timedelta(days=2))])
    assert (report.status, report.problems) == ("ok", ())
    (symbol,) = report.symbols
    assert (symbol.feed, symbol.collector, symbol.readiness) == (None, None, ())
    assert symbol.age_seconds == 2 * 86_400 - 60


def test_problems_name_their_symbol_and_make_it_degraded() -> None:
    rows = symbol_row(
        neglected_days=2, fillable_since=[NOW - timedelta(hours=70), NOW], recent_open_gaps=3, final_gaps=1
    )
    report = assess([rows], [collector_row(connection="stopped")])
    assert report.status == "degraded"
    assert report.problems == (
        "BTC: the collector stopped at 2026-11-21 12:34 UTC; btc-pipeline up starts it",
        "BTC: 2 days changed and are not materialised since",
        "BTC: 2 open gaps in the last seven days of its data",
        "BTC: minutes are missing for 70 h: the exchange forgets them at 83 h",
    )
    assert report.warnings == ("BTC: 1 gap in the last seven days of its data that the exchange cannot fill",)


def test_a_touched_day_alone_is_no_problem() -> None:
    assert assess([symbol_row(touched_days=1)], [collector_row()]).status == "ok"


def test_no_date_is_given_before_the_first_bars_are_made() -> None:
    for touched, due in ((1, False), (0, True)):
        (symbol,) = assess([symbol_row(touched_days=touched)], [collector_row()]).symbols
        assert len(symbol.readiness) == 6
        assert all((one.first_due is not None) is due for one in symbol.readiness)
        assert all(("still being made" in one.reason) is not due for one in symbol.readiness)


def test_the_newest_decision_of_a_symbol_is_the_last_one() -> None:
    decisions = [decision_row(M37, M37.slot(to_minute(NOW)) - number) for number in (1, 2)]
    (symbol,) = assess([symbol_row()], [collector_row()], (), decisions).symbols
    assert symbol.last_decision is not None
    assert symbol.last_decision.time == decisions[0]["time"]
    assert symbol.last_decision.decided_at == to_datetime(M37.open(M37.slot(to_minute(NOW))))


# A strategy that does not decide


def two_on_37m() -> Settings:
    return settings(strategies=[{"strategy": name, "intervals": ["37m"]} for name in ("ma44", "ma125")])


def test_a_strategy_that_does_not_decide_at_stored_bars_is_a_problem_and_has_no_opinion() -> None:
    slot = M37.slot(to_minute(NOW))
    bars = [bars_row(M37, range(slot - 200, slot))]
    closed = M37.open(slot)
    for last, minutes, silent in ((1, 30, False), (2, 3, False), (2, 4, True), (3, 0, True)):
        decisions = [decision_row(M37, slot - last), decision_row(M37, slot - 1, "ma125", 125)]
        now = to_datetime(closed + minutes)
        report = assess([symbol_row()], [collector_row()], bars, decisions, now, two_on_37m())
        since = f"{to_datetime(M37.close(slot - last)):%Y-%m-%d %H:%M} UTC"
        told = f"has not decided since {since}: the asset decisions_37m fails or waits"
        problem = f"BTC: ma44 on 37m {told}; look at its runs in the Dagster UI"
        assert (problem in report.problems) is silent
        (first, second) = report.symbols[0].readiness
        assert (first.ready, first.first_due, first.reason) == (
            (False, None, told) if silent else (True, None, "has an opinion")
        )
        assert (second.ready, second.reason) == (True, "has an opinion")


def test_all_of_an_interval_that_do_not_decide_are_one_problem() -> None:
    slot = M37.slot(to_minute(NOW))
    bars = [bars_row(M37, range(slot - 20, slot))]
    told = "the asset decisions_37m fails or waits; look at its runs in the Dagster UI"
    none = assess([symbol_row()], [collector_row()], bars, chosen=two_on_37m())
    assert none.problems == (f"BTC: ma44 and ma125 on 37m have made no decision: {told}",)
    assert {one.reason for one in none.symbols[0].readiness} == {
        "has made no decision: the asset decisions_37m fails or waits"
    }
    decisions = [decision_row(M37, slot - 3)]
    one = assess([symbol_row()], [collector_row()], bars, decisions, chosen=two_on_37m())
    since = f"{to_datetime(M37.close(slot - 3)):%Y-%m-%d %H:%M} UTC"
    assert one.problems == (
        f"BTC: ma44 on 37m has not decided since {since}, ma125 on 37m has made no decision: {told}",
    )


def test_where_a_bar_closes_every_minute_the_newest_one_is_not_waited_for() -> None:
    minute = Interval.parse("1m")
    slot = minute.slot(to_minute(NOW))
    chosen = settings(strategies=[{"strategy": "ma44", "intervals": ["1m"]}])
    bars = [bars_row(minute, range(slot - 60, slot))]
    for last, silent in ((2, False), (10, True)):
        decisions = [decision_row(minute, slot - last)]
        report = assess([symbol_row()], [collector_row()], bars, decisions, chosen=chosen)
        assert bool(report.problems) is silent


def test_nobody_is_silent_who_is_not_live_or_whose_past_is_just_made_into_bars() -> None:
    slot = M37.slot(to_minute(NOW))
    bars = [bars_row(M37, range(slot - 20, slot))]
    quiet = [
        assess([symbol_row(touched_days=140)], [collector_row()], bars, chosen=two_on_37m()),
        assess([symbol_row()], [collector_row()], [bars_row(M37, range(slot - 20, slot), NOW)], chosen=two_on_37m()),
        assess([symbol_row()], [], [], chosen=two_on_37m()),
    ]
    assert [report.problems for report in quiet] == [(), (), ()]


# When the first decision is due


def at_work(name: str, interval: str) -> StrategyOnInterval:
    (found,) = settings(strategies=[{"strategy": name, "intervals": [interval]}]).strategies_at_work
    return found


def bars_at(interval: Interval, slots: Sequence[int], unusable: Sequence[int] = ()) -> StoredBars:
    times = np.array([interval.open(slot) for slot in slots], np.int64)
    return StoredBars(times, np.array([slot not in unusable for slot in slots], np.bool_))


def test_the_days_that_are_missing_are_counted_and_the_first_decision_dated() -> None:
    today = DAY.slot(to_minute(NOW))
    stored = {DAY: bars_at(DAY, [today - 3, today - 2, today - 1])}
    found = assess_readiness(at_work("ma44", "1d"), stored, to_minute(NOW))
    assert (found.ready, found.bars_missing, found.bars_needed) == (False, 41, 44)
    assert found.first_due == datetime(2027, 1, 1, tzinfo=UTC)
    assert found.reason == "41 of 44 bars missing; first decision due 2027-01-01 00:00 UTC"


def test_a_strategy_with_its_history_is_ready() -> None:
    now = to_minute(NOW)
    slot = M37.slot(now)
    found = assess_readiness(at_work("ma44", "37m"), {M37: bars_at(M37, range(slot - 44, slot))}, now)
    assert (found.ready, found.first_due, found.reason) == (True, None, "has an opinion")


def test_a_strategy_with_a_warm_up_has_the_other_venue_s_history() -> None:
    until = to_minute(datetime(2026, 11, 17, tzinfo=UTC))
    chosen = settings(
        warmup={"BTC": "BTCUSDT.BINANCE until 2026-11-17"}, strategies=[{"strategy": "ma44", "intervals": ["1d"]}]
    )
    today = DAY.slot(to_minute(NOW))

    own, missing = range(today - 2, today), today - 2 - DAY.slot(until)
    rows = {
        "symbols": [symbol_row()],
        "collectors": [collector_row()],
        "bars": [bars_row(DAY, own)],
        "decisions": [decision_row(DAY, today - 1)],
    }
    source = range(DAY.slot(until) - 44, DAY.slot(until))
    (symbol,) = assess_health(rows | {"warm_bars": [bars_row(DAY, source)]}, chosen, NOW).symbols
    assert missing <= 2  # no more slots are missing in between than a window may lack
    assert symbol.readiness[0].ready
    assert symbol.readiness[0].reason == "has an opinion, with bars of BTCUSDT.BINANCE"
    # What the source has behind `until` counts as little as what it lacks before.
    late = range(DAY.slot(until), today)
    (symbol,) = assess_health(rows | {"warm_bars": [bars_row(DAY, late)]}, chosen, NOW).symbols
    assert (symbol.readiness[0].ready, symbol.readiness[0].bars_missing) == (False, 42)


def test_no_date_is_given_while_a_downloaded_past_is_made_into_bars() -> None:
    today = DAY.slot(to_minute(NOW))
    bars = [bars_row(DAY, range(today - 3, today), NOW)]
    for touched, dated in ((1, True), (2, True), (140, False)):
        (symbol,) = assess([symbol_row(touched_days=touched)], [collector_row()], bars).symbols
        (daily,) = [one for one in symbol.readiness if one.interval == "1d" and one.strategy == "ma44"]
        assert (daily.first_due is not None) is dated
        assert ("140 days are still being made" in daily.reason) is not dated


def test_a_bar_that_closed_just_now_is_not_missing_yet() -> None:
    slot = M37.slot(to_minute(NOW))
    stored = {M37: bars_at(M37, range(slot - 44, slot))}
    just_closed = M37.close(slot)
    assert assess_readiness(at_work("ma44", "37m"), stored, just_closed + 1).ready
    assert not assess_readiness(at_work("ma44", "37m"), stored, just_closed + 2).ready


def test_a_last_bar_that_is_not_usable_waits_for_the_next_one() -> None:
    now = to_minute(NOW)
    slot = M37.slot(now)
    found = assess_readiness(at_work("ma44", "37m"), {M37: bars_at(M37, range(slot - 60, slot), [slot - 1])}, now)
    assert found.reason.startswith("the last bar is missing or not usable; first decision due ")
    assert found.first_due == to_datetime(M37.close(slot))


class DailyFilter(Strategy):
    name = "filtered"
    display_name = description = "Above the average of three days"

    def inputs(self, p: Any) -> dict[str, Input]:
        return {"fast": Input("sma", {"period": 5}), "day": Input("sma", {"period": 3}, interval="1d")}

    def decide(self, view: Any, p: Any) -> Opinions:
        target = np.where(view.bars.close > view["day"], LONG, FLAT).astype(np.int8)
        return Opinions(target, np.ones(len(target)), [])


def test_another_interval_decides_when_it_is_what_lacks() -> None:
    now = to_minute(NOW)
    slot, today = M37.slot(now), DAY.slot(now)
    work = StrategyOnInterval(DailyFilter(), {}, M37)
    stored = {M37: bars_at(M37, range(slot - 60, slot)), DAY: bars_at(DAY, [today - 1])}
    found = assess_readiness(work, stored, now)
    midnight = DAY.open(today + 2)
    assert found.first_due == to_datetime(M37.close(M37.slot(midnight - 1)))
    assert found.reason.startswith("2 of 3 bars of 1d missing; first decision due ")


@pytest.mark.parametrize("seed", range(40))
def test_the_first_decision_comes_when_it_was_said_and_not_before(seed: int) -> None:
    """Bars with holes as they may be; then what comes, usable all of it, and the strategy itself asked at each."""
    random = np.random.default_rng(seed)
    now = to_minute(NOW) - 10
    slot, today = M37.slot(now), DAY.slot(now)
    work = [StrategyOnInterval(DailyFilter(), {}, M37), at_work("ma44", "37m")][seed % 2]
    held = {
        M37: [s for s in range(slot - int(random.integers(1, 90)), slot) if random.random() < 0.95],
        DAY: [s for s in range(today - int(random.integers(1, 6)), today) if random.random() < 0.9],
    }
    stored = {
        interval: bars_at(interval, slots, [s for s in slots if random.random() < 0.05])
        for interval, slots in held.items()
    }
    found = assess_readiness(work, stored, now)
    frames = {
        interval: whole_bars(
            interval, stored[interval], {M37: slot, DAY: today}[interval], {M37: 60 * 40, DAY: 60}[interval]
        )
        for interval in work.lookbacks()
    }
    decided = work.decide(frames, range(slot - 1, slot + 60 * 39))
    closes = {
        to_datetime(M37.close(M37.slot(int(time))))
        for time, target in zip(decided.time, decided.target, strict=True)
        if target >= -1
    }
    if found.ready:
        assert to_datetime(M37.open(slot)) in closes
    else:
        assert to_datetime(M37.open(slot)) not in closes
        assert min(closes) == found.first_due


def whole_bars(interval: Interval, stored: StoredBars, first: int, count: int) -> Candles:
    """The stored bars and those that come, as a strategy is given them."""
    coming = np.array([interval.open(slot) for slot in range(first, first + count)], np.int64)
    time = np.concatenate((stored.time, coming))
    n = len(time)
    price, ones = 100.0 + np.arange(n), np.ones(n, np.int64)  # at equality ma has no opinion
    usable = np.concatenate((stored.usable, np.ones(count, np.bool_)))
    columns = (price,) * 4, np.ones(n), np.full(n, np.nan), np.full(n, np.nan)
    return Candles(interval, Scale(2, 3), time, *columns[0], *columns[1:], ones, ones, ones, ones, usable)


# The statements


def test_what_is_read_is_what_is_stored(database: Database) -> None:
    day = NOW.replace(hour=0, minute=0, second=0)
    with database.rows() as connection:
        connection.execute("INSERT INTO instruments VALUES ('BTC', 'HYPERLIQUID', 'BTC', 1, 5, 8)")
        connection.execute(
            "INSERT INTO collector_state (symbol, feed, process, connection, message, started_at, heartbeat_at, "
            "accounted_until) VALUES ('BTC', 'live', 'nas/17', 'streaming', 'streaming', %s, %s, %s)",
            (NOW, NOW, NOW.replace(second=0)),
        )
        for interval, times in (
            ("1m", [NOW.replace(second=0) - MINUTE]),
            ("1d", [day - timedelta(days=n) for n in (1, 2, 3)]),
        ):
            for time in times:
                connection.execute(
                    "INSERT INTO candles VALUES (%s, 'BTC', %s, 1, 1, 1, 1, 1, NULL, NULL, NULL, 1, 0, 1, true, "
                    "'confirmed', %s)",
                    (time, interval, NOW - 5 * MINUTE),
                )
        connection.execute(
            "INSERT INTO data_quality (kind, symbol, start_time, end_time, reason) "
            "SELECT 'gap', 'BTC', t, t + interval '1 minute', r FROM (VALUES (%s::timestamptz, 'unknown'), "
            "(%s, 'beyond_retention'), (%s, 'fetch_failed')) AS g (t, r)",
            (day, day - timedelta(days=2), day - timedelta(days=8)),
        )
        for version, (withdrawn, kind) in enumerate([(False, "OPEN_LONG"), (True, "HOLD")], start=1):
            connection.execute(
                "INSERT INTO decisions (time, symbol, interval, strategy, parameters, version, withdrawn, target, "
                "type, confidence, reasons, indicator_snapshot, input_digest, origin) VALUES "
                "(%s, 'BTC', '1d', 'ma44', '{\"period\": 44}', %s, %s, 1, %s, 1, '{}', '{}', '', 'live')",
                (day - timedelta(days=1), version, withdrawn, kind),
            )
        connection.execute(
            "INSERT INTO decisions (time, symbol, interval, strategy, parameters, version, target, type, confidence, "
            "reasons, indicator_snapshot, input_digest, origin) VALUES (%s, 'BTC', '1d', 'ma44', '{\"period\": 44}', "
            "1, 1, 'OPEN_LONG', 1, '{}', '{}', '', 'live')",
            (day - timedelta(days=2),),
        )
    own = settings()
    report = assess_health(read(database, health_questions(own)), own, NOW)
    (symbol,) = report.symbols
    asset = "the asset decisions_1d fails or waits; look at its runs in the Dagster UI"
    assert report.problems == (
        "BTC: 1 open gap in the last seven days of its data",
        f"BTC: ma44 on 1d has not decided since 2026-11-20 00:00 UTC, ma125 on 1d has made no decision: {asset}",
    )
    assert len(report.warnings) == 1
    assert (symbol.open_gaps, symbol.recent_open_gaps, symbol.feed) == (3, 2, "live")
    assert symbol.last_minute == NOW.replace(second=0) - MINUTE
    assert symbol.last_decision is not None
    assert symbol.last_decision.time == day - timedelta(days=2), "the newer one was withdrawn"
    assert len(symbol.readiness) == len(own.strategies_at_work) == 6
    missing = {(found.strategy, found.interval): found.bars_missing for found in symbol.readiness}
    assert missing[("ma44", "1d")] == 41
    assert missing[("ma125", "37m")] == 125


def test_an_empty_database_is_well(database: Database) -> None:
    own = settings()
    report = assess_health(read(database, health_questions(own)), own, NOW)
    assert (report.status, report.symbols) == ("ok", ())


@pytest.mark.parametrize(
    ("seconds", "words"), [(42, "42 s"), (125, "2 min"), (18_600, "5 h 10 min"), (183_600, "2 d 3 h")]
)
def test_ages_are_said_in_two_units(seconds: int, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words
