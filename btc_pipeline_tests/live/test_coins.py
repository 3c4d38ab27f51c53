"""A coin that cannot be collected is refused by name before anything is subscribed; an exchange away is awaited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay import Behaviour, EmptyMinute, Fault, FaultKind, ReplayExchange, SyntheticMarket
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.live.cases import FIRST_DAY, stop_in_time
from btc_pipeline_tests.live.judging import judge_minutes, keep_trail
from btc_pipeline_tests.live.processes import COLLECTOR, stack, wait_for
from btc_pipeline_tests.live.world import World, live
from btc_pipeline_tests.pipeline.worlds import query

START: Final = FIRST_DAY + 7_000.0
FIRST: Final = int(START // 60)
MARKET: Final = SyntheticMarket(2, ("BTC", "ETH"))
BEHAVIOUR: Final = Behaviour(frames_per_minute=12, retention=300, empty_minute=EmptyMinute.FLAT)


def refused(symbols: Sequence[str], database: Database, folder: Path, *faults: Fault) -> tuple[str, ReplayExchange]:
    """What a collector of those symbols says before it gives up, and the exchange that it asked."""
    exchanges: list[ReplayExchange] = []

    async def script(world: World) -> None:
        exchanges.append(world.exchange)
        world.start_collector()
        await world.until(START + 600)

    with pytest.raises(UserError) as caught:
        live(
            database,
            folder,
            MARKET,
            script,
            start=START,
            faults=faults,
            behaviour=BEHAVIOUR,
            settings={"symbols": tuple(symbols)},
        )
    return str(caught.value), exchanges[0]


@pytest.mark.parametrize(
    ("symbol", "words"),
    [
        ("ETHH.HYPERLIQUID", "symbol 'ETHH.HYPERLIQUID': HYPERLIQUID has no coin 'ETHH'. Did you mean ETH?"),
        ("ZZZZ.HYPERLIQUID", "symbol 'ZZZZ.HYPERLIQUID': HYPERLIQUID has no coin 'ZZZZ'."),
        ("MATIC.HYPERLIQUID", "symbol 'MATIC.HYPERLIQUID': HYPERLIQUID does not trade 'MATIC' any more."),
    ],
)
def test_a_coin_that_is_not_traded_is_refused_by_name_before_anything_is_dialled(
    symbol: str, words: str, hasty_database: Database, tmp_path: Path
) -> None:
    said, exchange = refused(["BTC", symbol], hasty_database, tmp_path)
    assert said == words
    assert exchange.counters.received["subscribe"] == 0
    assert list(exchange.counters.dials) == []
    assert query(hasty_database, "SELECT count(*) FROM candles") == [(0,)]


def test_a_coin_is_refused_once_the_exchange_can_be_asked(hasty_database: Database, tmp_path: Path) -> None:
    away = Fault(FaultKind.BAD_GATEWAY, at=START, seconds=60)
    said, exchange = refused(["NOPE.HYPERLIQUID"], hasty_database, tmp_path, away)
    assert said == "symbol 'NOPE.HYPERLIQUID': HYPERLIQUID has no coin 'NOPE'."
    assert exchange.counters.received["subscribe"] == 0


def test_several_coins_are_collected_over_one_connection(hasty_database: Database, tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.start_collector()
        await world.until(START + 1500)
        await stop_in_time(world)

    symbols = ("BTC", "ETH.HYPERLIQUID")
    world = live(
        hasty_database, tmp_path, MARKET, script, start=START, behaviour=BEHAVIOUR, settings={"symbols": symbols}
    )
    counts = dict(query(hasty_database, "SELECT symbol, count(*) FROM candles GROUP BY symbol"))
    assert counts == dict.fromkeys(symbols, 300 - 1 + 25)
    assert world.exchange.counters.sockets == 1


def test_an_exchange_that_cannot_be_reached_is_said_once_and_collected_from_when_it_comes(
    hasty_database: Database, tmp_path: Path
) -> None:
    async def script(world: World) -> None:
        await world.exchange.stop()
        world.start_collector()
        await world.until(START + 2400)
        assert len(world.lines) == 1
        await world.exchange.start()
        # The longest wait between tries without an answer, and the last look after a quarter of an hour.
        await world.until(START + 2400 + 900 + 1200)
        await stop_in_time(world)

    keep_trail(hasty_database)
    world = live(hasty_database, tmp_path, MARKET, script, start=START, behaviour=BEHAVIOUR)
    assert world.lines[0].startswith("collector: HYPERLIQUID cannot be reached (")
    assert world.lines[0].endswith("); trying again. Without the internet: btc-pipeline up --feed replay")
    assert world.lines[1:] == ["collector: collecting BTC from HYPERLIQUID"]
    problems = judge_minutes(hasty_database, MARKET, BEHAVIOUR, first=FIRST, now=world.clock.now())
    assert problems == []


def test_the_command_says_that_cbbtc_is_btc_and_refuses_an_unknown_coin_with_exit_code_2() -> None:
    with stack(20.0, START) as chosen:
        refusing = chosen.start(COLLECTOR, BTC_PIPELINE_SYMBOLS='["cbBTC", "ETHH.HYPERLIQUID"]')
        assert refusing.wait(60) == 2
        said = chosen.said()
        assert said[-1] == "symbol 'ETHH.HYPERLIQUID': HYPERLIQUID has no coin 'ETHH'. Did you mean ETH?"
        assert chosen.exchange_state()["counters"]["received"] == {}
        chosen.start(COLLECTOR, BTC_PIPELINE_SYMBOLS='["cbBTC"]')
        wait_for(lambda: "collecting BTC from HYPERLIQUID (REPLAY)" in chosen.said())
        assert chosen.said()[-2] == "cbBTC is BTC here: Hyperliquid's perpetual"
        wait_for(lambda: query(chosen.database, "SELECT DISTINCT symbol FROM candles") == [("BTC",)])
        assert chosen.exchange_state()["counters"]["subscriptions"] == {"candle BTC": 1}
