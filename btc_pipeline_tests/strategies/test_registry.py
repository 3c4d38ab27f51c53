"""Strategies by name: the built-in ones, a user's files, and what is wrong with some of those."""

from __future__ import annotations

import pytest

from btc_pipeline.errors import UnknownNameError, UserError
from btc_pipeline.strategies.registry import load_strategies

GOOD = """
import numpy as np
from btc_pipeline.strategies import FLAT, LONG, Input, Opinions, Parameter, Strategy


class AboveAverage(Strategy):
    name = "above"
    display_name = "Above the average"
    description = "Long above the simple average, flat below."
    parameters = (Parameter("period", int, 20, 5, 500, "bars of the average"),)

    def inputs(self, p):
        return {"average": Input("sma", {"period": p["period"]})}

    def decide(self, view, p):
        above = view.bars.close > view["average"]
        return Opinions(np.where(above, LONG, FLAT).astype(np.int8), np.ones(len(above)), [(above, "above")])
"""


def test_the_built_in_strategies_are_there():
    registry = load_strategies()
    assert set(registry.strategies) == {"ma", "ma44", "ma125"}
    for name, strategy in registry.strategies.items():
        assert registry.get(name) is strategy
        assert strategy.name == name
        assert strategy.display_name
        assert strategy.description


def test_a_file_in_the_folder_adds_a_strategy(tmp_path):
    (tmp_path / "above.py").write_text(GOOD)
    strategy = load_strategies(tmp_path).get("above")
    assert strategy.resolve({}) == {"period": 20}
    assert strategy.inputs({"period": 20})["average"].parameters == {"period": 20}


def test_a_folder_that_is_not_there_or_empty_adds_none(tmp_path):
    assert set(load_strategies(tmp_path / "none").strategies) == set(load_strategies().strategies)
    assert set(load_strategies(tmp_path).strategies) == set(load_strategies().strategies)


def test_files_that_begin_with_an_underscore_and_other_files_are_left_out(tmp_path):
    (tmp_path / "_notes.py").write_text("this is not python")
    (tmp_path / "README.md").write_text("this is not python")
    assert "above" not in load_strategies(tmp_path).strategies


def test_two_strategies_may_share_a_file(tmp_path):
    (tmp_path / "two.py").write_text(GOOD + "\n\nclass Twin(AboveAverage):\n    name = 'twin'\n")
    assert {"above", "twin"} <= set(load_strategies(tmp_path).strategies)


def test_files_may_share_what_lies_beside_them_and_see_it_as_it_is_now(tmp_path):
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "more.py").write_text("PERIOD = 20\n")
    (tmp_path / "_helper.py").write_text("from .deeper.more import PERIOD\nMOST = 500\n")
    (tmp_path / "above.py").write_text(
        GOOD.replace("20, 5, 500", "PERIOD, 5, MOST") + "\nfrom ._helper import MOST, PERIOD\n"
    )
    text = (tmp_path / "above.py").read_text()
    (tmp_path / "above.py").write_text("from ._helper import MOST, PERIOD\n" + text.rpartition("\nfrom ")[0])
    (tmp_path / "twin.py").write_text("from .above import AboveAverage\nclass Twin(AboveAverage):\n    name = 'twin'\n")

    def most():
        found = load_strategies(tmp_path).strategies
        assert isinstance(found["twin"], type(found["above"]))
        return found["twin"].parameters[0].high

    assert most() == 500
    # Within one second, and of the same size.
    (tmp_path / "_helper.py").write_text("from .deeper.more import PERIOD\nMOST = 400\n")
    assert most() == 400
    assert not list(tmp_path.rglob("*.pyc"))


def test_what_was_loaded_of_another_folder_is_forgotten(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "_helper.py").write_text("FACTOR = 1\n")
    (tmp_path / "one" / "above.py").write_text("from ._helper import FACTOR\n" + GOOD)
    (tmp_path / "other" / "above.py").write_text("from ._helper import FACTOR\n" + GOOD)
    load_strategies(tmp_path / "one")
    with pytest.raises(UserError, match=r"above\.py, line 1: cannot be loaded: ModuleNotFoundError"):
        load_strategies(tmp_path / "other")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Broken(\n", r"bad\.py, line 1: cannot be loaded: SyntaxError"),
        ("import numpy\n\n1 / 0\n", r"bad\.py.*: cannot be loaded: ZeroDivisionError: division by zero"),
        ("import no_such_module\n", r"bad\.py.*: cannot be loaded: ModuleNotFoundError"),
        ("x = 1\n", r"bad\.py: declares no strategy; define a class of btc_pipeline.strategies.Strategy"),
        ("from btc_pipeline.strategies import Strategy\n", r"bad\.py: declares no strategy"),
        (
            "from btc_pipeline.strategies import Strategy\nclass Half(Strategy):\n    name = 'half'\n",
            r"bad\.py: declares no strategy",
        ),
        (GOOD.replace('name = "above"', 'name = ""'), r"bad\.py: strategy AboveAverage lacks name"),
        (GOOD.replace('description = "', 'other = "'), r"bad\.py: strategy AboveAverage lacks description"),
        (GOOD.replace('"above"', '"ma44"', 1), r"bad\.py: strategy 'ma44' exists already; give it another name"),
        (GOOD.replace('"above"', '"Bad Name!"', 1), r"bad\.py: strategy name 'Bad Name!' is not valid: use letters"),
        (GOOD.replace("20, 5, 500", "4, 5, 500"), r"bad\.py: strategy above: the default of: period 4 is not valid"),
        (GOOD + "    lookback = -5\n", r"bad\.py: strategy above: lookback -5 is not valid: give 0 to 100,000 bars"),
        (GOOD + "    lookback = 2.0\n", r"bad\.py: strategy above: lookback 2\.0 is not valid"),
    ],
)
def test_a_bad_file_is_refused_in_words(tmp_path, source, message):
    (tmp_path / "bad.py").write_text(source)
    with pytest.raises(UserError, match=message):
        load_strategies(tmp_path)


def test_two_files_may_not_take_one_name(tmp_path):
    (tmp_path / "a.py").write_text(GOOD)
    (tmp_path / "b.py").write_text(GOOD)
    with pytest.raises(UserError, match=r"b\.py: strategy 'above' exists already"):
        load_strategies(tmp_path)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"strategy 'ma4' is unknown: did you mean ma44\?"):
        load_strategies().get("ma4")
    with pytest.raises(UnknownNameError, match=r"there are ma, ma125, ma44\."):
        load_strategies().get("zzz")


def test_the_digest_of_sources_follows_every_byte_and_name(tmp_path):
    digests = [load_strategies(tmp_path).sources]
    (tmp_path / "above.py").write_text(GOOD)
    digests.append(load_strategies(tmp_path).sources)
    (tmp_path / "above.py").write_text(GOOD + "# a word\n")
    digests.append(load_strategies(tmp_path).sources)
    (tmp_path / "above.py").rename(tmp_path / "over.py")
    digests.append(load_strategies(tmp_path).sources)
    (tmp_path / "_helper.py").write_text("FACTOR = 1\n")
    digests.append(load_strategies(tmp_path).sources)
    (tmp_path / "_helper.py").write_text("FACTOR = 2\n")
    digests.append(load_strategies(tmp_path).sources)
    assert len(set(digests)) == 6
    assert load_strategies(tmp_path).sources == digests[-1]
