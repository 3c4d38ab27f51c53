"""Minutes as they were known at a moment: what a decision of then can be made from again.

Belongs here: reads back in time of minutes. Does not belong here: decisions as they were known, which `queries` reads
from their own log.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from btc_pipeline.market.candles import Candles
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTE, MINUTES_PER_DAY
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage.candles import from_arrow
from btc_pipeline.storage.times import to_datetime
from btc_pipeline.storage.vouched import read_vouched

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

# A revision has no minute counts; they follow from its values, as `market.candles.is_quiet` says.
READ_MINUTES: Final = """
WITH known AS (
    SELECT time, open, high, low, close, volume, quote_volume, taker_buy_volume, trades
    FROM candles
    WHERE symbol = $1 AND interval = '1m' AND time >= $2 AND time < $3 AND recorded_at <= $4
    UNION ALL
    SELECT time, open, high, low, close, volume, quote_volume, taker_buy_volume, trades
    FROM candle_revisions
    WHERE symbol = $1 AND interval = '1m' AND time >= $2 AND time < $3 AND recorded_at <= $4 AND superseded_at > $4
)
SELECT *, 1 AS minutes, (volume = 0 AND open = high AND high = low AND low = close)::int AS quiet_minutes,
       1 AS expected_minutes, true AS usable
FROM known
ORDER BY time
"""


def read_minutes_as_of(
    cursor: Cursor, instrument: Instrument, start: int, end: int, moment: datetime
) -> tuple[Candles, Spans]:
    """The 1m candles of the epoch minutes [start, end), and those without a row that were vouched for.

    Args:
        moment: only what was recorded by then, and not superseded by then, is given; with a time zone.
    """
    cursor.execute(READ_MINUTES, (instrument.symbol, to_datetime(start), to_datetime(end), moment))
    minutes = from_arrow(cursor.fetch_arrow_table(), MINUTE, instrument.scale)
    days = start // MINUTES_PER_DAY, (end - 1) // MINUTES_PER_DAY + 1
    vouched = Spans.of_minutes(read_vouched(cursor, instrument.symbol, *days, as_of=moment)).clip(start, end)
    return minutes, vouched
