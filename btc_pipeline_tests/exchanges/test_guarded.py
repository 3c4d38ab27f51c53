"""A user's own clients, however wrong: what they do is a fault of their venue, in words, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from btc_pipeline.exchanges.base import Acknowledged, Coin, History, RateLimitedError, Unreadable, VenueUnavailableError
from btc_pipeline.exchanges.guarded import GuardedRest, GuardedStream
from btc_pipeline.market.candles import Scale

FILE = Path(__file__)
COIN = Coin("BTCUSD", Scale(2, 8, 0))


class Client:
    """Both clients of a venue: every method does what it was told to."""

    venue, url, ping_seconds, retention_minutes = "MINE", "wss://mine.invalid", 20.0, None

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer
        self.closed = False

    async def coins(self, wanted: object) -> Any:
        return self._answer()

    async def history(self, coin: str, start: int, end: int) -> Any:
        return self._answer()

    async def time(self) -> Any:
        return self._answer()

    async def close(self) -> Any:
        self.closed = True
        return self._answer()

    def subscribe(self, coin: str) -> Any:
        return self._answer()

    subscribe_trades = subscribe

    def ping(self) -> Any:
        return self._answer()

    def read(self, frame: str | bytes) -> Any:
        return self._answer()


def failing() -> Any:
    return {}["key"]


LINE = next(at for at, text in enumerate(FILE.read_text().splitlines(), 1) if 'return {}["key"]' in text)
WORDS = f"test_guarded.py, line {LINE}: KeyError: 'key'"


def rest_of(answer: Callable[[], Any]) -> GuardedRest:
    return GuardedRest(Client(answer), FILE)


def stream_of(answer: Callable[[], Any]) -> GuardedStream:
    return GuardedStream(Client(answer), FILE)


async def test_what_is_right_passes() -> None:
    assert await rest_of(lambda: {"BTCUSD": COIN}).coins(["BTCUSD"]) == {"BTCUSD": COIN}
    assert await rest_of(lambda: History([])).history("BTCUSD", 0, 1) == History([])
    assert await rest_of(lambda: 7).time() == 7.0
    assert rest_of(failing).retention_minutes is None
    stream = stream_of(lambda: [Acknowledged("BTCUSD")])
    assert (stream.venue, stream.url, stream.ping_seconds) == ("MINE", "wss://mine.invalid", 20.0)
    assert stream.read("frame") == [Acknowledged("BTCUSD")]
    assert stream_of(lambda: "text").subscribe("BTCUSD") == "text"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: rest_of(failing).coins([]),
        lambda: rest_of(failing).history("BTCUSD", 0, 1),
        lambda: rest_of(failing).time(),
    ],
)
async def test_what_rest_raises_is_a_fault_of_the_venue(ask: Callable[[], Awaitable[Any]]) -> None:
    with pytest.raises(VenueUnavailableError) as raised:
        await ask()
    assert str(raised.value) == WORDS


async def test_what_a_venue_says_itself_is_left_as_it_is() -> None:
    def limited() -> Any:
        raise RateLimitedError("later", 7.0)

    with pytest.raises(RateLimitedError) as raised:
        await rest_of(limited).time()
    assert raised.value.retry_after == 7.0


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: rest_of(list).history("BTCUSD", 0, 1), "history is a list; wanted is History"),
        (lambda: rest_of(list).coins([]), "coins is a list; wanted is Mapping"),
        (lambda: rest_of(lambda: {"BTCUSD": 2}).coins([]), "a value of coins is a int; wanted is Coin"),
        (lambda: rest_of(lambda: None).time(), "float"),
    ],
)
async def test_an_answer_of_another_kind_is_a_fault_of_the_venue(ask: Callable[[], Awaitable[Any]], words: str) -> None:
    with pytest.raises(VenueUnavailableError) as raised:
        await ask()
    assert str(raised.value).startswith("test_guarded.py")
    assert words in str(raised.value)


async def test_it_is_closed_whatever_happens() -> None:
    client = Client(failing)
    await GuardedRest(client, FILE).close()
    assert client.closed


def test_a_frame_that_cannot_be_read_is_kept_as_a_row_that_could_not_be_taken() -> None:
    assert stream_of(failing).read(b"frame \xff") == [Unreadable(WORDS, "frame \ufffd")]
    (row,) = stream_of(lambda: [Acknowledged("BTCUSD"), 7]).read("frame")
    assert isinstance(row, Unreadable)
    assert "an event of read is a int" in row.reason
    (row,) = stream_of(lambda: None).read("frame")
    assert isinstance(row, Unreadable)


def test_what_the_stream_raises_else_is_a_fault_of_the_venue() -> None:
    one = stream_of(failing)
    for ask in (lambda: one.subscribe("BTCUSD"), lambda: one.subscribe_trades("BTCUSD"), one.ping):
        with pytest.raises(VenueUnavailableError) as raised:
            ask()
        assert str(raised.value) == WORDS
