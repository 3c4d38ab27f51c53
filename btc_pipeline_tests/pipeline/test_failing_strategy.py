"""A strategy that fails, or writes into what it sees: it is named, and what others decide is what they decide alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from btc_pipeline.errors import StrategyError
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline_tests.defs.worlds import FIRST, SYMBOL, made_minutes, store
from btc_pipeline_tests.pipeline.worlds import NOW, chain_of, query, small_settings

DAYS = 4
STRATEGY = """
import numpy as np
from btc_pipeline.strategies import LONG, Opinions, Strategy

class Own(Strategy):
    name, display_name, description = "own", "Own", "Always long."

    def inputs(self, p):
        return {}

    def decide(self, view, p):
        close = view.bars.close
        %s
        return Opinions(np.full(len(close), LONG, np.int8), np.ones(len(close)), [])
"""
DECISIONS = (
    "SELECT strategy, time, version, target, indicator_snapshot, input_digest FROM decisions WHERE strategy %s 'own' "
    "ORDER BY strategy, parameters, interval, time, version"
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("raise KeyError(7)", "strategy 'own' failed, own.py, line 13: KeyError: 7"),
        ("raise SystemExit(3)", "strategy 'own' failed, own.py, line 13: SystemExit: 3"),
        ("close *= 1.03", "strategy 'own' failed, own.py, line 13: ValueError: output array is read-only"),
        ("close = close[1:]", "strategy 'own' answered for {less} bars instead of {n}: target."),
    ],
)
def test_the_others_decide_as_if_it_were_not_there(database: Database, tmp_path: Path, line: str, words: str) -> None:
    store(database, SYMBOL, made_minutes(FIRST, DAYS))
    with database.arrow() as cursor:
        instrument = find_instrument(cursor, SYMBOL)
    days = range(FIRST, FIRST + DAYS)
    others = [{"strategy": "ma", "parameters": {"period": 5}, "intervals": ["37m"]}]
    (tmp_path / "own.py").write_text(STRATEGY % line)

    def refresh() -> None:
        # The user's comes first, so that whatever it does is done when the others decide.
        own = {"strategy": "own", "intervals": ["37m"]}
        settings = small_settings(strategies=[own, *others], strategies_folder=tmp_path)
        chain_of(database, settings).refresh(instrument, days, NOW)

    bars = "SELECT count(*) FROM candles WHERE interval = '37m'"
    with pytest.raises(StrategyError) as failed:
        refresh()
    n = query(database, bars)[0][0]
    assert str(failed.value) == words.format(n=n, less=n - 1)
    made = query(database, DECISIONS % "<>")
    assert len(made) == n
    assert query(database, DECISIONS % "=") == []

    # Mended, it decides; the others have nothing to add.
    (tmp_path / "own.py").write_text(STRATEGY % "pass")
    refresh()
    assert len(query(database, DECISIONS % "=")) == n
    assert query(database, DECISIONS % "<>") == made

    query(database, "DELETE FROM decisions")
    chain_of(database, small_settings(strategies=others, strategies_folder=tmp_path)).refresh(instrument, days, NOW)
    assert query(database, DECISIONS % "<>") == made
