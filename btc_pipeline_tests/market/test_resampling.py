"""Bars equal a recount by brute force in 10,000 random cases, however cut, streamed, or told by the venue."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from btc_pipeline.market.candles import Candles, Scale, empty_candles
from btc_pipeline.market.intervals import MINUTE, STANDARD_NAMES, Interval
from btc_pipeline.market.resampling import StreamingResampler, UsabilityRule, resample
from btc_pipeline.market.spans import NO_SPANS
from btc_pipeline_tests.market.brute_force import Row, bar_bounds, resampled
from btc_pipeline_tests.market.made_minutes import as_tuples, frame, random_rows, spans

CASES = 10_000
SCALES = (Scale(2, 4), Scale(0, 0), Scale(8, 8), Scale(1, 3, 5))
RULES = (
    UsabilityRule(),
    UsabilityRule(),
    UsabilityRule(50.0, False),
    UsabilityRule(100.0, True),
    UsabilityRule(0.0, False),
)


def random_case(seed):
    """(rng, interval, rows, vouched, scale, slots): short intervals mostly, so that a case has many bars."""
    rng = random.Random(seed)
    kind = rng.random()
    if kind < 0.75:
        name = f"{rng.randint(1, 60)}m"
    elif kind < 0.95:
        name = f"{rng.randint(61, 1440)}m"
    else:
        name = rng.choice(STANDARD_NAMES)
    interval = Interval.parse(name)
    # Anywhere from 1970 to 2040; sometimes right at a month's end.
    start = rng.randint(0, 36_000_000) if rng.random() < 0.8 else rng.choice((24_193_440, 23_713_920, 44_640)) - 60
    rows, vouched = random_rows(rng, start, rng.randint(1, 150))
    first = interval.slot(start) - rng.randint(0, 1)
    return (
        rng,
        interval,
        rows,
        vouched,
        rng.choice(SCALES),
        range(first, interval.slot(start + 150) + rng.randint(0, 2)),
    )


@pytest.mark.parametrize("block", range(10))
def test_bars_equal_brute_force(block):
    bars_seen = 0
    for seed in range(block * CASES // 10, (block + 1) * CASES // 10):
        rng, interval, rows, vouched, scale, slots = random_case(seed)
        rule = rng.choice(RULES)
        bars = resample(frame(rows, scale), interval, slots, vouched=spans(vouched), rule=rule)
        expected = resampled(
            rows,
            vouched,
            interval.name,
            interval.open(slots.start),
            interval.open(slots.stop),
            rule.minimum_coverage_percent,
            rule.closing_minute_required,
        )
        assert as_tuples(bars) == expected, f"seed {seed}"
        assert (bars.interval, bars.scale) == (interval, scale)
        bars_seen += len(bars)
    assert bars_seen > 2_500


@pytest.mark.parametrize("block", range(3))
def test_bars_are_the_same_however_the_slots_are_cut(block):
    for seed in range(50_000 + block * 300, 50_300 + block * 300):
        rng, interval, rows, vouched, scale, slots = random_case(seed)
        minutes = frame(rows, scale)
        whole = resample(minutes, interval, slots, vouched=spans(vouched))
        cuts = sorted({slots.start, slots.stop, *(rng.randint(slots.start, slots.stop) for _ in range(5))})
        parts = []
        for first, end in pairwise(cuts):
            # Only the minutes of the piece, as a reader of one day would have them.
            own = minutes.between(interval.open(first), interval.open(end))
            own_vouched = spans(vouched).clip(interval.open(first), interval.open(end))
            parts.append(resample(own, interval, range(first, end), vouched=own_vouched))
        assert_same_bits(Candles.concatenate(parts) if parts else empty_candles(interval, scale), whole)


@pytest.mark.parametrize("block", range(3))
def test_streaming_gives_the_bars_of_the_batch(block):
    for seed in range(60_000 + block * 100, 60_100 + block * 100):
        rng, interval, rows, vouched, scale, _ = random_case(seed)
        minutes = frame(rows, scale)
        if not len(minutes):
            continue
        stream = StreamingResampler(interval, vouched=spans(vouched))
        given = []
        for at in range(len(minutes)):
            one = minutes.take(slice(at, at + 1))
            given += stream.push(one)
            # A bar is out as soon as its last minute is, and not before.
            assert all(bar.close_time[0] <= one.time[0] + 1 for bar in given)
            if rng.random() < 0.1:
                given += stream.advance(int(one.time[0]) + 1)
        end = int(minutes.time[-1]) + 1
        closed = resample(
            minutes, interval, range(interval.slot(int(minutes.time[0])), interval.slot(end)), vouched=spans(vouched)
        )
        assert_same_bits(joined(given, interval, scale), closed)
        given += stream.advance(interval.close(interval.slot(end)))
        whole = range(interval.slot(int(minutes.time[0])), interval.slot(end) + 1)
        assert_same_bits(joined(given, interval, scale), resample(minutes, interval, whole, vouched=spans(vouched)))
        assert list(stream.advance(end + 10**6)) == []


def test_a_stream_refuses_a_minute_that_is_not_later():
    stream = StreamingResampler(Interval.parse("5m"))
    minutes = frame([Row(m, 5, 5, 5, 5, 1) for m in (100, 101)], Scale(2, 2))
    list(stream.push(minutes.take(slice(1, 2))))
    for at in (0, 1):
        with pytest.raises(ValueError, match="does not follow 101"):
            list(stream.push(minutes.take(slice(at, at + 1))))


def test_a_venue_that_writes_flat_rows_and_one_that_writes_none_give_the_same_bars():
    for seed in range(70_000, 70_500):
        _, interval, rows, vouched, scale, slots = random_case(seed)
        # One optional column left out everywhere: a flat row's zero says no more than the hole's nothing.
        rows = [replace(row, quote=None, taker=None, trades=None) for row in rows]
        flat = {row.minute for row in rows if row.quiet}
        writes_none = [row for row in rows if not row.quiet]
        with_rows = resample(frame(rows, scale), interval, slots, vouched=spans(vouched))
        with_holes = resample(frame(writes_none, scale), interval, slots, vouched=spans(vouched | flat))
        assert_same_bits(with_rows, with_holes)
        mixed = [row for row in rows if not row.quiet or row.minute % 2]
        assert_same_bits(with_rows, resample(frame(mixed, scale), interval, slots, vouched=spans(vouched | flat)))


def test_only_known_silence_fills_a_bar():
    """Ten minutes of 37 without a row: unknown they make the bar unusable, vouched for they do not."""
    first, _ = bar_bounds("37m", 1_000_000)
    rows = [Row(minute, 100, 101, 99, 100, 5) for minute in range(first, first + 27)]
    holes = set(range(first + 27, first + 37))
    interval = Interval.parse("37m")
    slots = range(interval.slot(first), interval.slot(first) + 1)
    unknown = resample(frame(rows, Scale(2, 2)), interval, slots)
    quiet = resample(frame(rows, Scale(2, 2)), interval, slots, vouched=spans(holes))
    assert (unknown.minutes[0], unknown.quiet_minutes[0], unknown.usable[0]) == (27, 0, False)
    assert (quiet.minutes[0], quiet.quiet_minutes[0], quiet.usable[0]) == (37, 10, True)
    assert as_tuples(unknown)[0][1:6] == as_tuples(quiet)[0][1:6]


@pytest.mark.parametrize(("missing", "usable"), [((), True), ((0,), True), ((0, 1), False), ((147,), False)])
def test_a_bar_is_usable_with_99_percent_and_its_closing_minute(missing, usable):
    first, after = bar_bounds("148m", 5_000_000)
    rows = [Row(m, 100, 101, 99, 100, 5) for m in range(first, after) if m - first not in missing]
    interval = Interval.parse("148m")
    bars = resample(frame(rows, Scale(2, 2)), interval, range(interval.slot(first), interval.slot(first) + 1))
    assert bars.usable.tolist() == [usable]


def test_a_minute_without_volume_whose_price_moved_shapes_its_bar():
    first, _ = bar_bounds("5m", 100)
    rows = [Row(first, 100, 100, 100, 100, 0), Row(first + 1, 100, 120, 90, 110, 0), Row(first + 2, 7, 7, 7, 7, 0)]
    interval = Interval.parse("5m")
    bars = resample(frame(rows, Scale(0, 0)), interval, range(first // 5, first // 5 + 1))
    assert as_tuples(bars)[0][:6] == (first, 100, 120, 90, 110, 0)
    assert bars.quiet_minutes.tolist() == [2]


def test_nothing_traded_makes_no_bar():
    quiet = frame([Row(m, 5, 5, 5, 5, 0) for m in range(100)], Scale(2, 2))
    for minutes in (quiet, quiet.take(slice(0, 0))):
        assert len(resample(minutes, Interval.parse("37m"), range(3))) == 0
    assert len(resample(quiet, MINUTE, range(0))) == 0


def test_sums_are_exact_where_doubles_drift():
    """Ten times 0.1 is 1, and a tenth more or less is seen."""
    rows = [Row(minute, 1, 1, 1, 1, 1, quote=3) for minute in range(10)]
    bars = resample(frame(rows, Scale(1, 1, 1)), Interval.parse("10m"), range(1))
    assert bars.volume.tolist() == [1.0]
    assert bars.quote_volume.tolist() == [3.0]
    assert sum([0.1] * 10) != 1.0


def test_a_column_that_one_minute_does_not_tell_is_unknown_for_its_bar():
    rows = [Row(m, 5, 6, 4, 5, 2, quote=1, taker=1, trades=4) for m in range(10)]
    rows[7] = replace(rows[7], quote=None, taker=None, trades=None)
    bars = resample(frame(rows, Scale(2, 2)), Interval.parse("5m"), range(2))
    assert [row[6:9] for row in as_tuples(bars)] == [(5, 5, 20), (None, None, None)]


def test_four_bars_of_37m_make_one_of_148m():
    rng = random.Random(5)
    rows, _ = random_rows(rng, 148 * 1000, 148 * 40)
    rows = [row for row in rows if not row.quiet]
    small = resampled(rows, set(), "37m", 148_000, 148 * 1040)
    large = as_tuples(resample(frame(rows, Scale(2, 2)), Interval.parse("148m"), range(1000, 1040)))
    for bar in large:
        nested = [one for one in small if bar[0] <= one[0] < bar[0] + 148]
        assert nested[0][0] >= bar[0]
        assert nested[-1][0] + 37 <= bar[0] + 148
        assert bar[1:6] == (
            nested[0][1],
            max(one[2] for one in nested),
            min(one[3] for one in nested),
            nested[-1][4],
            sum(one[5] for one in nested),
        )


def joined(parts, interval, scale):
    return Candles.concatenate(parts) if parts else empty_candles(interval, scale)


def assert_same_bits(a, b):
    for name in ("time", "trades", "minutes", "quiet_minutes", "expected_minutes", "usable"):
        assert getattr(a, name).tolist() == getattr(b, name).tolist()
    for name in ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume"):
        assert getattr(a, name).view(np.int64).tolist() == getattr(b, name).view(np.int64).tolist()


def test_no_spans_vouch_for_nothing():
    minutes = frame([Row(m, 5, 6, 4, 5, 2) for m in range(0, 37, 2)], Scale(2, 2))
    interval = Interval.parse("37m")
    assert as_tuples(resample(minutes, interval, range(1), vouched=NO_SPANS)) == as_tuples(
        resample(minutes, interval, range(1))
    )


def test_a_month_whose_quote_volume_is_more_than_64_bits_of_ticks_is_exact():
    """Fifteen digits a minute, eight decimals: some 4.4e11 in a month of the largest markets."""
    month = Interval.parse("1M")
    start = month.open(month.slot(29_050_000))
    rows = 43_000
    quote = np.full(rows, 9_999_999.12345678)
    quote[1::2] = 9_999_998.87654321
    minutes = replace(
        frame([Row(start + at, 100, 100, 100, 100, 1) for at in range(rows)], Scale(2, 2, 8)), quote_volume=quote
    )
    bars = resample(minutes, month, range(month.slot(start), month.slot(start) + 1))
    ticks = rows // 2 * (999_999_912_345_678 + 999_999_887_654_321)
    assert ticks > 2**63
    assert bars.quote_volume.tolist() == [float(ticks) / 10.0**8]
