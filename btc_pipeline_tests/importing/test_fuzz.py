"""Random valid files come back exactly; no corruption of a cell is taken for another value.

The yardstick is `decimal.Decimal` and a reading of times of its own.
"""

from __future__ import annotations

import random
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from btc_pipeline.errors import UserError
from btc_pipeline.importing.reader import read_candle_file
from btc_pipeline_tests.importing.files import HEADER, START

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SETTINGS = settings(suppress_health_check=[HealthCheck.too_slow])


@st.composite
def candles(draw, minimum=1):
    """(minutes, {column: decimals}) of a valid file, and the decimals of its prices and volumes."""
    n = draw(st.integers(minimum, 12))
    price_places, volume_places = draw(st.integers(0, 6)), draw(st.integers(0, 9))
    gaps = draw(st.lists(st.integers(1, 3000), min_size=n, max_size=n))
    minutes = [START + sum(gaps[: i + 1]) for i in range(n)]
    prices = st.integers(1, 10**8).map(lambda ticks: Decimal(ticks).scaleb(-price_places))
    volumes = st.integers(0, 10**11).map(lambda ticks: Decimal(ticks).scaleb(-volume_places))
    columns = {name: [] for name in HEADER[1:]}
    for _ in range(n):
        low, first, second, high = sorted(draw(st.tuples(prices, prices, prices, prices)))
        first, second = draw(st.permutations([first, second]))
        for name, value in zip(HEADER[1:], (first, high, low, second, draw(volumes)), strict=True):
            columns[name].append(value)
    return minutes, columns


def spell(value: Decimal, generator: random.Random) -> str:
    """A decimal written in one of the ways that people and programs write it."""
    plain = format(value.normalize(), "f")
    zeros = "0" * generator.randrange(12)
    with_zeros = plain + (zeros if "." in plain else "." + zeros)
    return generator.choice(
        [plain, plain, with_zeros, f"+{plain}", f"00{plain}", f"{value:e}", f"{value.normalize():E}"]
    )


def spell_time(minute: int, style: int) -> str:
    moment = EPOCH + timedelta(minutes=minute)
    styles = [str(minute * 60 * 1000**k) for k in range(4)]
    styles += [
        moment.isoformat(),
        moment.replace(tzinfo=None).isoformat(" ", "minutes"),
        f"{moment:%Y-%m-%dT%H:%M:%SZ}",
    ]
    return styles[style]


def table_of(minutes, columns, generator) -> list[list[str]]:
    style = generator.randrange(7)
    return [
        [spell_time(minute, style), *(spell(columns[name][i], generator) for name in HEADER[1:])]
        for i, minute in enumerate(minutes)
    ]


def read(content: bytes, **options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candles.csv"
        path.write_bytes(content)
        return read_candle_file(path, **options)


def places(values: list[Decimal]) -> int:
    return max(max(0, -int(value.normalize().as_tuple().exponent)) for value in values)


@SETTINGS
@given(candles(), st.integers(0, 2**32))
def test_valid_rows_in_any_spelling_come_back_exactly(data, seed):
    minutes, columns = data
    generator = random.Random(seed)
    table = [HEADER, *table_of(minutes, columns, generator)]
    order = generator.sample(range(6), 6)
    delimiter = generator.choice([",", ";", "\t"])
    quote = generator.choice(["", '"'])
    newline = generator.choice(["\n", "\r\n", "\n\n"])
    lines = [delimiter.join(f"{quote}{row[i]}{quote}" for i in order) for row in table]
    mark = generator.choice([b"", b"\xef\xbb\xbf"])
    result = read(mark + (newline.join(lines) + generator.choice(["", newline])).encode())

    assert result.rows_read == len(minutes)
    assert result.minutes.time.tolist() == minutes
    for name, values in columns.items():
        assert getattr(result.minutes, name).tolist() == [float(value) for value in values]
    assert result.minutes.scale.price == places([v for name in HEADER[1:5] for v in columns[name]])
    assert result.minutes.scale.volume == places(columns["volume"])


ALPHABET = "0123456789.,eE+-xXnaif_ \t\n\r\"';:TZµ\x00￿"


def corrupt(text: str, generator: random.Random) -> str:
    at = generator.randrange(len(text) + 1)
    new = "".join(generator.choices(ALPHABET, k=generator.randrange(1, 3)))
    cut = generator.randrange(3)
    return generator.choice([text[:at] + new + text[at + cut :], text[:at] + text[at + cut + 1 :], text[:at], new, ""])


def meaning(column: str, text: str, style_sample: str) -> object:
    """What a cell says, by an independent reading; None if it says nothing for certain."""
    text = text.strip().removeprefix('"').removesuffix('"').strip()
    if column != "time":
        try:
            value = Decimal(text)
        except InvalidOperation:
            return None
        return value if value.is_finite() and "_" not in text else None
    number = text.partition(".")[0]
    if number.isdecimal() and style_sample.isdecimal():
        unit = 60 * 1000 ** ((len(style_sample) - 10) // 3)
        minute, rest = divmod(int(number), unit)
        return minute if not rest else None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) // 60


@SETTINGS
@given(candles(minimum=4), st.integers(0, 2**32), st.booleans())
def test_a_corrupted_cell_is_refused_or_read_as_what_it_says(data, seed, skip):
    minutes, columns = data
    generator = random.Random(seed)
    table = table_of(minutes, columns, generator)
    row, position = generator.randrange(len(table)), generator.randrange(6)
    name, before = HEADER[position], table[row][position]
    table[row][position] = after = corrupt(before, generator)
    try:
        result = read("\n".join(",".join(line) for line in [HEADER, *table]).encode(), skip_invalid=skip)
    except UserError:
        return
    kept = {minute: i for i, minute in enumerate(result.minutes.time.tolist())}
    expected = [i for i in range(len(table)) if i != row]
    for i in expected:  # the other rows: exactly as they were, or reported
        if minutes[i] in kept:
            at = kept[minutes[i]]
            same = [float(columns[c][i]) for c in HEADER[1:]] == [
                float(getattr(result.minutes, c)[at]) for c in HEADER[1:]
            ]
            assert same or name == "time"
        else:
            assert skip
            assert result.skipped
    if result.skipped:
        return
    at = row
    got = int(result.minutes.time[at]) if name == "time" else float(getattr(result.minutes, name)[at])
    said = meaning(name, after, before)
    assert said is not None, (name, before, after, got)
    assert got == (said if name == "time" else float(said))  # type: ignore[arg-type]
    if name != "time":
        assert Decimal(f"{got:.15g}") == said


@SETTINGS
@given(candles(minimum=3), st.integers(0, 2**32))
def test_random_rows_never_end_in_anything_but_an_answer_or_a_user_error(data, seed):
    minutes, columns = data
    generator = random.Random(seed)
    text = "\n".join(",".join(line) for line in [HEADER, *table_of(minutes, columns, generator)])
    content = bytearray(text.encode())
    for _ in range(generator.randrange(1, 6)):
        content[generator.randrange(len(content))] = generator.randrange(256)
    for skip in (False, True):
        try:
            result = read(bytes(content), skip_invalid=skip)
        except UserError:
            continue
        assert np.all(np.diff(result.minutes.time) > 0)
        assert np.all(result.minutes.high >= result.minutes.low)
        assert len(result.minutes) + len(result.skipped) == result.rows_read
