"""How much past is wanted, and what `up --history` runs."""

from __future__ import annotations

import pytest

from btc_pipeline.cli import history as command
from btc_pipeline.downloading.history import Want, longest_reach, too_little, wanted
from btc_pipeline.downloading.lacking import lacking
from btc_pipeline.settings import Settings, load_settings
from btc_pipeline_tests.downloading.fake_binance import SYMBOL, FakeBinance, minute_of
from btc_pipeline_tests.downloading.worlds import World

NOW = minute_of("2026-11-21 12:34")
TODAY = minute_of("2026-11-21 00:00")


@pytest.fixture(autouse=True)
def _no_indicators(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strategies alone, whatever the settings file stores besides."""
    config = world.folder / "pipeline.yaml"
    config.write_text("indicators: {}\n")
    monkeypatch.setenv("BTC_PIPELINE_CONFIG", str(config))


def test_the_longest_look_back_and_slack_decide(world: World) -> None:
    reach = longest_reach(load_settings())
    assert reach is not None
    assert (reach.name, reach.interval, reach.days) == ("ma125", "1d", 134 + 8)
    none = load_settings(strategies=())
    assert longest_reach(none) is None
    assert wanted(none, NOW) == []
    month = load_settings(
        strategies=(), indicators={"m": {"indicator": "sma", "parameters": {"period": 2}, "intervals": ["1M"]}}
    )
    reach = longest_reach(month)
    assert reach is not None
    assert reach.days == 4 * 31 + 8


@pytest.mark.parametrize(
    ("symbols", "warmup", "expected"),
    [
        (["BTC"], {}, []),
        (["BTC", SYMBOL], {}, [Want(SYMBOL, TODAY - 142 * 1440, None)]),
        (
            ["BTC"],
            {"BTC": f"{SYMBOL} until 2026-11-01"},
            [Want(SYMBOL, minute_of("2026-06-12 00:00"), minute_of("2026-11-01 00:00"))],
        ),
        (["BTC"], {"BTC": f"{SYMBOL} until 2027-01-01"}, [Want(SYMBOL, TODAY - 142 * 1440, None)]),
        (["BTC", SYMBOL], {"BTC": f"{SYMBOL} until 2026-11-01"}, [Want(SYMBOL, minute_of("2026-06-12 00:00"), None)]),
    ],
)
def test_past_is_wanted_of_venues_that_give_it_and_of_warm_ups(
    symbols: list[str], warmup: dict[str, str], expected: list[Want]
) -> None:
    assert wanted(load_settings(symbols=symbols, warmup=warmup), NOW) == expected


def test_what_is_known_to_be_none_is_not_lacking(world: World, binance: FakeBinance) -> None:
    want = Want(SYMBOL, binance.first, None)
    assert lacking(world.database, want, binance.now) == binance.now - 1440 - binance.first
    binance.absent |= set(range(binance.first + 100, binance.first + 150))
    world.download()
    assert lacking(world.database, want, binance.now) == 0
    assert lacking(world.database, Want(SYMBOL, binance.first - 10, None), binance.now) == 10


def test_too_little_is_said_in_a_sentence_that_names_the_option(world: World, binance: FakeBinance) -> None:
    settings = load_settings(symbols=["BTC", SYMBOL])
    (sentence,) = too_little(settings, world.database, binance.now)
    assert sentence == (
        f"{SYMBOL}: ma125 on 1d looks back on 134 days, 0 are stored: btc-pipeline up --history downloads them"
    )
    world.download()
    (sentence,) = too_little(settings, world.database, binance.now)
    assert "looks back on 134 days, 11 are stored" in sentence
    few = load_settings(
        symbols=["BTC", SYMBOL],
        strategies=[{"strategy": "ma", "parameters": {"period": 5}, "intervals": ["37m"]}],
    )
    assert too_little(few, world.database, binance.now) == []


def test_once_it_is_there_nothing_is_asked(
    world: World, binance: FakeBinance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[dict[str, object]] = []
    few = {
        "symbols": [SYMBOL],
        "strategies": [{"strategy": "ma", "parameters": {"period": 5}, "intervals": ["37m"]}],
        "data_dir": world.folder,
        "venues": {"BINANCE": dict.fromkeys(("api_url", "archive_url"), f"http://127.0.0.1:{binance.port}")},
    }

    def settings() -> Settings:
        return load_settings(**few)

    monkeypatch.setattr(command, "load_settings", settings)
    monkeypatch.setattr(command, "open_database", lambda _: world.database)
    monkeypatch.setattr(command, "now_minute", lambda: binance.now)
    monkeypatch.setattr(command, "today", lambda: binance.now // 1440)
    monkeypatch.setattr(command, "materialize", lambda **given: made.append(given))
    assert command.main() == 0
    said = capsys.readouterr().out.splitlines()
    assert all(line.startswith("STATE history: ") for line in said)
    assert "minutes of 9 days are missing, for ma on 37m: downloading" in said[0]
    assert said[-1].startswith("STATE history: the past is there")
    assert [one["symbol"] for one in made] == [[SYMBOL], [SYMBOL]]
    assert [one["end"] for one in made] == [None, "2025-01-10"]

    binance.asked.clear()
    assert command.main() == 0
    assert binance.asked == []
    assert capsys.readouterr().out.splitlines() == [f"STATE history: {SYMBOL}: 9 days are there already"]
