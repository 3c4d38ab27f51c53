"""Which venues there are: the built-in ones, and a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.venues import (
    archive_of,
    find_provider,
    providers,
    require_provider,
    rest_client,
    stream_client,
)
from btc_pipeline.settings import Settings
from btc_pipeline.timing.clock import SystemClock

OWN = """
from btc_pipeline.exchanges.addresses import Addresses
from btc_pipeline.exchanges.bybit.rest import BybitRest
from btc_pipeline.exchanges.bybit.wire import BybitStream
from btc_pipeline.exchanges.provider import Provider


def provider(name):
    return Provider(
        name=name,
        title="My venue",
        example="BTCUSD",
        addresses=Addresses("wss://mine.invalid/ws", "https://mine.invalid"),
        rest=lambda at, clock: BybitRest(at.api_url, clock),
        stream=lambda at: BybitStream(at.websocket_url),
    )


"""


def settings(folder: Path, **more: object) -> Settings:
    return Settings(venues_folder=folder, **more)  # type: ignore[arg-type]


def test_the_built_in_venues_are_at_their_own_addresses(tmp_path: Path) -> None:
    found = providers(settings(tmp_path))
    assert list(found) == ["HYPERLIQUID", "BYBIT", "BINANCE", "BINANCE_UM"]
    assert found["BYBIT"].addresses.websocket_url == "wss://stream.bybit.com/v5/public/linear"
    assert found["BINANCE"].addresses.websocket_url == "wss://stream.binance.com:9443/ws"
    assert found["BINANCE_UM"].addresses.websocket_url == "wss://fstream.binance.com/market/ws"
    assert found["BINANCE_UM"].addresses.api_url == "https://fapi.binance.com"


def test_settings_say_where_a_venue_is(tmp_path: Path) -> None:
    chosen = settings(tmp_path, venues={"binance": {"archive_url": "http://127.0.0.1:9/files"}})
    archive = archive_of(chosen, "BINANCE")
    assert archive is not None
    assert archive.files("BTCUSDT", 26_000_000, 26_000_001, 29_000_000)[0].url.startswith(
        "http://127.0.0.1:9/files/data/spot/"
    )
    assert archive_of(chosen, "BYBIT") is None


def test_a_replay_plays_them_all_on_this_machine(tmp_path: Path) -> None:
    for venue, path in (("BYBIT", "/bybit/v5/public/linear"), ("BINANCE_UM", "/binance-um/market/ws")):
        stream = stream_client(settings(tmp_path, feed="replay"), venue)
        assert stream is not None
        assert stream.url == f"ws://127.0.0.1:8765{path}"


def test_a_user_s_file_adds_a_venue_that_settings_can_move(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN + 'PROVIDER = provider("MINE")\nPROVIDERS = [provider("OTHER")]\n')
    (tmp_path / "_helper.py").write_text("raise RuntimeError")
    chosen = settings(tmp_path, venues={"MINE": {"websocket_url": "ws://127.0.0.1:9"}})
    assert list(providers(chosen))[4:] == ["OTHER", "MINE"]
    mine = require_provider(chosen, "MINE", "BTCUSD.MINE")
    assert (mine.title, mine.addresses.websocket_url) == ("My venue", "ws://127.0.0.1:9")
    stream = stream_client(chosen, "OTHER")
    assert stream is not None
    assert stream.url == "wss://mine.invalid/ws"


def test_a_file_is_run_once_and_again_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN + 'PROVIDER = provider("MINE")\n')
    first = find_provider(settings(tmp_path), "MINE")
    again = find_provider(settings(tmp_path), "MINE")
    assert first is not None
    assert again is not None
    assert first.stream is again.stream
    file.write_text(OWN + 'PROVIDER = provider("RENAMED")\n')
    assert find_provider(settings(tmp_path), "MINE") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"mine\.py: declares no venue; assign a btc_pipeline\.exchanges\.provider\.Provider to PROVIDER\."),
        ("PROVIDER = 7", r"mine\.py: PROVIDER 7 is no btc_pipeline\.exchanges\.provider\.Provider\."),
        (OWN + 'PROVIDER = provider("BINANCE")', r"mine\.py: venue 'BINANCE' exists already; give it another name\."),
        (OWN + 'PROVIDER = provider("mine")', r"mine\.py: venue 'mine' is no name; use capitals"),
        ("\nimport no_such_module\n", r"mine\.py, line 2: cannot be loaded: ModuleNotFoundError"),
        ("PROVIDER = (\n", r"mine\.py, line 1: cannot be loaded: SyntaxError"),
    ],
)
def test_a_file_that_declares_no_venue_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(UserError, match=words):
        providers(settings(tmp_path))


def test_an_unknown_venue_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no client for BINANC; did you mean BINANCE\? There are .*Bybit"):
        require_provider(settings(tmp_path), "BINANC", "BTCUSDT.BINANC")
    with pytest.raises(UserError, match=r"no client for KRAKEN; there are HYPERLIQUID .*Bybit"):
        require_provider(settings(tmp_path), "KRAKEN", "BTCUSD.KRAKEN")


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        (
            "rest=lambda at, clock: BybitRest(at.api_url, clock)",
            "rest=lambda at: None",
            r"rest\(at\) has the wrong arguments; wanted is rest\(addresses, clock\)\.",
        ),
        (
            "stream=lambda at: BybitStream(at.websocket_url)",
            "stream=lambda: None",
            r"stream\(\) has the wrong arguments; wanted is stream\(addresses\)\.",
        ),
        (
            "stream=lambda at: BybitStream(at.websocket_url)",
            "stream=lambda at: None, archive=lambda at, more: None",
            r"archive\(at, more\) has the wrong arguments; wanted is archive\(addresses\)\.",
        ),
        (
            "stream=lambda at: BybitStream(at.websocket_url)",
            "stream='wss://mine'",
            r"stream 'wss://mine' cannot be called; wanted is stream\(addresses\)\.",
        ),
    ],
)
def test_a_client_that_is_made_of_other_arguments_is_refused_in_words(
    tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    assert right in OWN
    (tmp_path / "mine.py").write_text(OWN.replace(right, wrong) + 'PROVIDER = provider("MINE")\n')
    with pytest.raises(UserError, match=r"mine\.py: venue 'MINE': " + words):
        providers(settings(tmp_path))


def test_a_venue_that_makes_no_client_is_refused_in_words(tmp_path: Path) -> None:
    text = OWN.replace("BybitRest(at.api_url, clock)", "None") + 'PROVIDER = provider("MINE")\n'
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(UserError, match=r"venue 'MINE' of .*: rest\(addresses, clock\) gives None; wanted is a client"):
        rest_client(settings(tmp_path), "MINE", SystemClock())


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        (
            "BybitRest(at.api_url, clock)",
            "{}['key']",
            r"rest\(addresses, clock\) fails, line 14: KeyError: 'key'",
        ),
        (
            "BybitStream(at.websocket_url)",
            "BybitRest(at.api_url, None)",
            r"stream\(addresses\) gives BybitRest; wanted is a client, .*VenueStream, and it lacks url, .*, read\.",
        ),
    ],
)
def test_a_client_that_cannot_be_made_is_refused_in_words(tmp_path: Path, right: str, wrong: str, words: str) -> None:
    (tmp_path / "mine.py").write_text(OWN.replace(right, wrong) + 'PROVIDER = provider("MINE")\n')
    chosen = settings(tmp_path)

    def make_both() -> None:
        rest_client(chosen, "MINE", SystemClock())
        stream_client(chosen, "MINE")

    with pytest.raises(UserError, match=r"venue 'MINE' of .*mine\.py: " + words):
        make_both()
