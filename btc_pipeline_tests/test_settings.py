"""Settings: what comes before what, words for what is wrong, secrets that stay secret."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import yaml

from btc_pipeline.errors import UserError
from btc_pipeline.market.warm_up import WarmUp
from btc_pipeline.settings import CONFIG_VARIABLE, PROJECT, Settings, load_settings
from btc_pipeline_tests.cli.environment import own_environment

SECRET = "correct horse"


@pytest.fixture(autouse=True)
def config(tmp_path: Path) -> Iterator[Path]:
    """An empty settings file, in a folder without anything else."""
    with own_environment(tmp_path):
        path = tmp_path / "pipeline.yaml"
        path.write_text("")
        os.environ[CONFIG_VARIABLE] = str(path)
        os.environ["BTC_PIPELINE_STRATEGIES_FOLDER"] = str(tmp_path / "strategies")
        yield path


def refusal(**overrides: object) -> str:
    with pytest.raises(UserError) as refused:
        load_settings(**overrides)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_an_empty_file_means_the_defaults(config: Path) -> None:
    settings = load_settings()
    assert (settings.db_host, settings.db_port, settings.db_name, settings.db_user) == (
        None,
        5432,
        "btc_data",
        "btc_bot",
    )
    assert (settings.api_host, settings.api_port, settings.dagster_port) == ("127.0.0.1", 8000, 3000)
    assert settings.data_dir == PROJECT / "data"
    assert settings.start_date == date(2015, 1, 1)
    assert [chosen.strategy for chosen in settings.strategies] == ["ma44", "ma125"]
    assert settings.rule.minimum_coverage_percent == 99


def test_the_environment_beats_env_beats_the_file_beats_the_defaults(config: Path) -> None:
    config.write_text("api_port: 8001\ndagster_port: 3001\nstart_date: 2016-01-01\n")
    Path(".env").write_text("BTC_PIPELINE_API_PORT=8002\nBTC_PIPELINE_DAGSTER_PORT=3002\nDB_NAME=other\n")
    os.environ["BTC_PIPELINE_API_PORT"] = "8003"
    settings = load_settings()
    assert (settings.api_port, settings.dagster_port, settings.start_date) == (8003, 3002, date(2016, 1, 1))
    assert (settings.db_name, settings.db_user) == ("other", "btc_bot")
    assert load_settings(api_port=8004).api_port == 8004


def test_nested_settings_come_from_the_environment_one_by_one(config: Path) -> None:
    config.write_text("usability: {minimum_coverage_percent: 97, closing_minute_required: false}\n")
    os.environ["BTC_PIPELINE_USABILITY__MINIMUM_COVERAGE_PERCENT"] = "98.5"
    rule = load_settings().rule
    assert (rule.minimum_coverage_percent, rule.closing_minute_required) == (98.5, False)


def test_lists_in_the_environment_are_json() -> None:
    os.environ["BTC_PIPELINE_STANDARD_INTERVALS"] = '["60m", "1h", "41m"]'
    assert load_settings().standard_intervals == ("1h", "41m"), "canonical and once each"
    os.environ["BTC_PIPELINE_STANDARD_INTERVALS"] = "1h,41m"
    assert "standard_intervals" in refusal()
    assert "JSON" in refusal()


def test_origins_are_as_browsers_send_them() -> None:
    assert load_settings().api_origins == ()
    origins = ("http://127.0.0.1:5173", "https://dash.example", "http://[::1]:8080", "tauri://localhost")
    os.environ["BTC_PIPELINE_API_ORIGINS"] = json.dumps([*origins, origins[0]])
    assert load_settings().api_origins == origins


def test_an_empty_db_host_is_the_embedded_database() -> None:
    os.environ["DB_HOST"] = ""
    assert not load_settings().db_host


def test_folders_are_absolute_whatever_the_working_directory(tmp_path: Path) -> None:
    os.environ["BTC_PIPELINE_DATA_DIR"] = "here/data"
    assert load_settings().data_dir == tmp_path.resolve() / "here/data"
    os.environ["BTC_PIPELINE_DATA_DIR"] = "~/data"
    assert load_settings().data_dir == Path.home().resolve() / "data"


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("api_port: 70000", "api_port", "(given: 70000)"),
        ("api_port: many", "api_port", "(given: 'many')"),
        ("api_origins: ['*']", "api_origins", "'*' would let pages of anybody in: name each origin"),
        ("api_origins: [127.0.0.1:5173]", "api_origins", "'127.0.0.1:5173' is no origin: write scheme://host[:port]"),
        ("api_origins: ['http://a.de/']", "api_origins", "'http://a.de/' is no origin"),
        ("api_origins: ['http://A.de']", "api_origins", "in small letters"),
        ("api_origins: ['https://a.de:443']", "api_origins", "browsers leave this port out: write https://a.de"),
        ("start_date: 2016-13-01", "start_date", "(given: '2016-13-01')"),
        ("usability: {minimum_coverage_percent: 101}", "usability.minimum_coverage_percent", "(given: 101)"),
        ("usability: {coverage: 90}", "usability.coverage", "(given: 90)"),
        ("standard_intervals: [37x]", "standard_intervals", "interval '37x' is unknown"),
        ("indicators: {MA: {indicator: sma}}", "indicators.MA", "(given: 'MA')"),
        ("indicators: {ma: {parameters: {period: 3}}}", "indicators.ma.indicator", "Field required"),
        ("indicators: {ma: {indicator: smaa}}", "indicators.ma", "Did you mean sma?"),
        ("indicators: {ma: {indicator: sma, parameters: {periode: 3}}}", "indicators.ma", "period"),
        ("indicators: {ma: {indicator: sma, parameters: {period: 0}}}", "indicators.ma", "0"),
        ("strategies: [{strategy: ma4}]", "strategies", "strategy 'ma4' is unknown: did you mean ma44?"),
        ("strategies: [{strategy: ma, parameters: {period: 4}}]", "strategies", "4"),
        ("strategies: [{strategy: ma44, intervals: [0m]}]", "strategies.0.intervals", "interval '0m' is unknown"),
        ("strategies: ma44", "strategies", "(given: 'ma44')"),
        ("strategys: []", "'strategys'", "Did you mean strategies?"),
        ("zzz: 1", "'zzz'", "Settings are data_dir, "),
        ("1: 1", "1 is no setting", "Settings are"),
        ("start_date: [1", "line 2, column 1", "expected ',' or ']'"),
        ("a: b: c", "line 1, column 5", "mapping values are not allowed here"),
        ("- api_port", "not a mapping", "start_date: 2015-01-01"),
        ("just words", "not a mapping", "start_date: 2015-01-01"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_value(config: Path, text: str, field: str, words: str) -> None:
    config.write_text(text + "\n")
    message = refusal()
    assert message.startswith("config: ")
    assert field in message
    assert words in message


def test_every_mistake_is_told_at_once(config: Path) -> None:
    config.write_text("api_port: a\ndagster_port: b\n")
    assert "api_port" in refusal()
    assert "dagster_port" in refusal()


def test_a_file_that_cannot_be_read_is_named(config: Path) -> None:
    config.write_bytes(b"api_port: 1 # caf\xe9\n")
    assert refusal().startswith(f"config: {config} cannot be read: ")
    config.unlink()
    assert refusal() == f"{CONFIG_VARIABLE}: there is no file {config}."
    config.mkdir()
    assert refusal() == f"{CONFIG_VARIABLE}: there is no file {config}."


def test_a_password_is_shown_nowhere(config: Path) -> None:
    os.environ["DB_PASSWORD"] = SECRET
    settings = load_settings()
    assert settings.db_password.get_secret_value() == SECRET
    for shown in (str(settings), repr(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in shown
    os.environ["DB_PORT"] = "x"
    assert SECRET not in refusal()
    config.write_text(f"db_password: [{SECRET}]\n")
    del os.environ["DB_PASSWORD"]
    message = refusal()
    assert "password" in message.lower()
    assert SECRET not in message


def test_strategies_in_the_users_folder_have_names_like_the_others(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "mine.py").write_text(
        "from btc_pipeline.strategies import Strategy\n"
        "class Mine(Strategy):\n"
        "    name = 'mine'\n    display_name = 'Mine'\n    description = 'None.'\n"
        "    def inputs(self, p):\n        return {}\n"
        "    def decide(self, view, p):\n        raise NotImplementedError\n"
    )
    (folder / "_helper.py").write_text("raise RuntimeError('is not loaded')\n")
    config.write_text("strategies: [{strategy: mine, intervals: [37m]}]\n")
    assert [one.strategy.name for one in load_settings().strategies_at_work] == ["mine"]
    (folder / "mine.py").write_text("x = 1 / 0\n")
    assert f"{folder}/mine.py, line 1: cannot be loaded: ZeroDivisionError" in refusal()


def test_the_shipped_file_is_accepted_and_explains_every_setting_of_the_pipeline() -> None:
    shipped = PROJECT / "config" / "pipeline.yaml"
    os.environ[CONFIG_VARIABLE] = str(shipped)
    load_settings()
    assert set(yaml.safe_load(shipped.read_text())) <= set(Settings.model_fields)


def test_a_warm_up_is_a_symbol_and_a_moment(config: Path) -> None:
    config.write_text(
        "warmup: {cbBTC: BTCUSDT.BINANCE until 2026-11-01, ETH.BYBIT: 'ETHUSD.X until 2026-11-01T12:30'}\n"
    )
    assert load_settings().warm_ups == {
        "BTC": WarmUp("BTCUSDT.BINANCE", 29_891_520),
        "ETH.BYBIT": WarmUp("ETHUSD.X", 29_892_270),
    }
    config.write_text("")
    os.environ["BTC_PIPELINE_WARMUP"] = '{"BTC": "BTCUSDT.BYBIT until 2026-11-01T00:00+01:00"}'
    assert load_settings().warm_ups["BTC"] == WarmUp("BTCUSDT.BYBIT", 29_891_460)


@pytest.mark.parametrize(
    ("warmup", "words"),
    [
        ({"BTC": "BTCUSDT.BINANCE"}, "is no warm-up: write BTCUSDT.BINANCE until 2026-11-01"),
        ({"BTC": "BTCUSDT.BINANCE until soon"}, "is no warm-up"),
        ({"BTC": "BTCUSDT.BINANCE until 2026-11-01T00:00:30"}, "is no whole minute"),
        ({"BTC": "BTC until 2026-11-01"}, "cannot warm up on itself"),
        ({"BTC": "btc until 2026-11-01"}, "symbol 'btc' is not valid"),
        ({"BTC": "A.B until 2026-11-01", "cbBTC": "A.C until 2026-11-01"}, "there twice"),
        ({"BTC": "A.B until 2026-11-01", "A.B": "A.C until 2026-11-01"}, "which warms up itself"),
    ],
)
def test_a_wrong_warm_up_is_refused_in_words(config: Path, warmup: dict[str, str], words: str) -> None:
    message = refusal(warmup=warmup)
    assert words in message
    assert message.startswith("config: warmup: ")


def test_a_venue_has_other_addresses_by_file_or_environment(config: Path) -> None:
    config.write_text("venues: {BINANCE: {api_url: 'http://127.0.0.1:1'}}\n")
    os.environ["BTC_PIPELINE_VENUES__BINANCE_UM__ARCHIVE_URL"] = "http://127.0.0.1:2"
    venues = load_settings().venues
    assert venues["BINANCE"].api_url == "http://127.0.0.1:1"
    assert venues["BINANCE_UM"].archive_url == "http://127.0.0.1:2"
    assert "websocket_url" in refusal(venues={"BINANCE": {"websocket_url": "http://x"}})


def compared(**overrides: object) -> list[tuple[str, str]]:
    return [(one.symbol, one.against) for one in load_settings(**overrides).comparisons]


def test_symbols_of_one_base_at_two_venues_are_compared_unless_the_settings_say_otherwise() -> None:
    assert compared() == []
    several = ("BTC", "BTCUSDT.BINANCE", "ETHUSDT.BINANCE", "BTC-USD.COINBASE", "ETH.HYPERLIQUID", "BTCEUR.KRAKEN")
    assert compared(symbols=several) == [
        ("BTC", "BTCUSDT.BINANCE"),
        ("BTC", "BTC-USD.COINBASE"),
        ("ETHUSDT.BINANCE", "ETH.HYPERLIQUID"),
    ]
    assert compared(symbols=("BTCUSDT.BINANCE", "BTCUSDC.BINANCE")) == []
    assert compared(symbols=several, cross_checks=()) == []
    pair = {"symbol": "cbBTC", "against": "BTCUSD.BITFINEX", "alert_bps": 12.5}
    assert compared(symbols=several, cross_checks=(pair,)) == [("BTC", "BTCUSD.BITFINEX")]
    (told,) = load_settings(cross_checks=(pair,)).comparisons
    assert (told.rule.alert_bps, told.rule.alert_minutes, told.rule.median_minutes) == (12.5, 3, 1440)


def test_a_list_without_cross_checks_turns_them_off(config: Path) -> None:
    config.write_text("symbols: [BTC, BTCUSDT.BINANCE]\n")
    assert compared() == [("BTC", "BTCUSDT.BINANCE")]
    config.write_text("symbols: [BTC, BTCUSDT.BINANCE]\ncross_checks: []\n")
    assert compared() == []


def test_trades_are_not_kept_unless_they_are_taken() -> None:
    assert "keep_trades_days is 7, but no trades are taken" in refusal(collector={"keep_trades_days": 7})
    assert load_settings(collector={"keep_trades_days": 7, "trades": True}).collector.keep_trades_days == 7


def test_costs_of_backtests_are_settings(config: Path) -> None:
    assert load_settings().backtest.slippage_bps == {"BTC": 1.0}
    config.write_text(
        "backtest:\n"
        "  slippage_bps: {cbBTC: 2, BTCUSDT.BINANCE: 3}\n"
        "  fees:\n"
        "    bitfinex:\n"
        "      - {valid_from: 2026-01-01, taker_bps: 15}\n"
        "      - {valid_from: 2013-01-01, taker_bps: 20, maker_bps: 10}\n"
    )
    chosen = load_settings().backtest
    assert chosen.slippage_bps == {"BTC": 2.0, "BTCUSDT.BINANCE": 3.0}
    assert [fee.taker_bps for fee in chosen.fee_tables["BITFINEX"]] == [20.0, 15.0]
    config.write_text("backtest: {slippage_bps: {BTC: -1}}")
    assert refusal().startswith("config: backtest.slippage_bps.BTC: ")
    config.write_text("backtest: {slippage_bps: {btc: 1}}")
    assert "symbol 'btc' is not valid" in refusal()
    assert "dagster_url" in refusal(backtest={}, dagster_url="localhost:3000")
