"""The spool: what it has taken is there again in order, whenever the process or the power went."""

from __future__ import annotations

import math
import shutil

import pytest

from btc_pipeline.collector import spool as spool_module
from btc_pipeline.collector.spool import Spool
from btc_pipeline_tests.collector.made_landings import FIRST, PROVISIONAL, SYMBOL, landing

LARGE = 10**9


def rows_of(count, start=0):
    return [(SYMBOL, landing(FIRST + n, close=100.0 + n / 7)) for n in range(start, start + count)]


def drained(spool):
    """Every row of a spool, oldest first, as `repr` (NaN equals itself there); nothing is left."""
    found = []
    while (batch := spool.oldest()) is not None:
        assert batch.unreadable == []
        found += map(repr, batch.rows)
        spool.remove(batch)
    assert (spool.rows, spool.size, spool.pending) == (0, 0, False)
    return found


def files(folder):
    return sorted(path for path in folder.iterdir() if path.suffix == ".jsonl")


def test_rows_come_back_in_order_bit_for_bit_after_a_restart(tmp_path):
    rows = [
        *rows_of(3),
        ("ETH.X", landing(FIRST, PROVISIONAL, reason='a "quoted"\nreason ü', volume=0.1 + 0.2, trades=-1)),
        (SYMBOL, landing(FIRST, quote_volume=1e-9, taker_buy_volume=math.nan)),
    ]
    spool = Spool(tmp_path / "spool", LARGE)
    assert spool.append(rows[:2]) == 2
    assert spool.append(rows[2:]) == 3
    assert spool.rows == 5
    again = Spool(tmp_path / "spool", LARGE)
    assert (again.rows, again.size) == (5, sum(path.stat().st_size for path in files(tmp_path / "spool")))
    assert drained(again) == [repr(row) for row in rows]
    assert files(tmp_path / "spool") == []


def test_a_file_cut_at_any_byte_gives_its_whole_lines_and_takes_new_rows_behind_them(tmp_path):
    whole = tmp_path / "whole"
    rows = rows_of(3)
    Spool(whole, LARGE).append(rows)
    (source,) = files(whole)
    content = source.read_bytes()
    for size in range(len(content) + 1):
        folder = tmp_path / "cut"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / source.name).write_bytes(content[:size])
        spool = Spool(folder, LARGE)
        complete = content[:size].count(b"\n")
        assert spool.rows == complete
        later = rows_of(2, start=50)
        spool.append(later)
        assert drained(spool) == [repr(row) for row in rows[:complete] + later]


def test_many_rows_lie_in_several_files_of_bounded_length(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "ROWS_A_FILE", 10)
    spool = Spool(tmp_path, LARGE)
    rows = rows_of(37)
    for start, end in ((0, 4), (4, 25), (25, 37)):
        spool.append(rows[start:end])
    assert [path.read_bytes().count(b"\n") for path in files(tmp_path)] == [10, 10, 10, 7]
    assert drained(Spool(tmp_path, LARGE)) == [repr(row) for row in rows]


def test_what_is_appended_while_the_oldest_is_being_landed_is_not_removed_with_it(tmp_path):
    spool = Spool(tmp_path, LARGE)
    rows = rows_of(4)
    spool.append(rows[:2])
    batch = spool.oldest()
    spool.append(rows[2:])
    assert [repr(row) for row in batch.rows] == [repr(row) for row in rows[:2]]
    spool.remove(batch)
    assert spool.rows == 2
    assert drained(spool) == [repr(row) for row in rows[2:]]


def test_at_the_cap_the_oldest_rows_stay_and_newer_ones_are_not_taken(tmp_path):
    rows = rows_of(10)
    measuring = Spool(tmp_path / "measure", LARGE)
    measuring.append(rows[:4])
    spool = Spool(tmp_path / "spool", measuring.size + 10)
    assert spool.append(rows[:3]) == 3
    assert spool.append(rows[3:]) == 1
    assert spool.append(rows[4:]) == 0
    assert Spool(tmp_path / "spool", 1).append(rows[4:]) == 0
    assert drained(spool) == [repr(row) for row in rows[:4]]
    assert spool.append(rows[4:6]) == 2


def test_lines_that_are_not_json_are_set_aside_and_the_others_given(tmp_path):
    spool = Spool(tmp_path, LARGE)
    spool.append(rows_of(2))
    spool.close()
    (path,) = files(tmp_path)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"\x00\x00\xff\n" + b"[1]\n" + second)
    spool = Spool(tmp_path, LARGE)
    batch = spool.oldest()
    assert [repr(row) for row in batch.rows] == [repr(row) for row in rows_of(2)]
    assert len(batch.unreadable) == 2
    spool.remove(batch)
    assert (tmp_path / "unreadable.txt").read_text().splitlines() == ["\x00\x00\ufffd", "[1]"]
    assert not Spool(tmp_path, LARGE).pending


def test_a_disk_that_takes_nothing_leaves_what_was_there(tmp_path, monkeypatch):
    spool = Spool(tmp_path, LARGE)
    rows = rows_of(4)
    spool.append(rows[:2])

    def no_space(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(spool_module.os, "fsync", no_space)
        with pytest.raises(OSError, match="No space"):
            spool.append(rows[2:])
    assert spool.rows == 2
    spool.append(rows[3:])
    assert drained(Spool(tmp_path, LARGE)) == [repr(row) for row in rows[:2] + rows[3:]]
