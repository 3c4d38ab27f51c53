"""`/stats`: a symbol's last 24 hours."""

from __future__ import annotations

from math import isnan

from fastapi import APIRouter, Response

from api.bars import find_bounds, read_minutes
from api.context import ContextDependency, json_response
from api.parameters import SymbolText
from api.schemas import Stats
from btc_pipeline.market.candles import UNKNOWN_TRADES
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Interval
from btc_pipeline.market.resampling import resample
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage.times import to_datetime

router = APIRouter(prefix="/stats", tags=["stats"])


@router.get("", response_model=Stats, summary="The last 24 hours of a symbol")
async def stats(context: ContextDependency, symbol: SymbolText) -> Response:
    """Of the 1,440 minutes that end with the last stored one: `window_start` and `window_end` say which."""
    bounds = await find_bounds(context.connections, symbol)
    end = bounds.last + 1
    start = end - MINUTES_PER_DAY
    minutes, vouched = await read_minutes(context.connections, bounds.instrument, start, end)
    window = Interval("24h", MINUTES_PER_DAY, start % MINUTES_PER_DAY)
    slot = window.slot(start)
    bars = resample(minutes, window, range(slot, slot + 1), vouched=vouched, rule=context.settings.rule)
    quiet = Spans.of([*vouched.clip(start, end).pairs(), *Spans.of_minutes(minutes.time).pairs()]).total
    row: dict[str, object] = {
        "feed": context.settings.feed,
        **_identity(bounds.instrument, start, end),
        **dict.fromkeys(("open", "high", "low", "close", "quote_volume", "trades", "change", "change_percent")),
        "volume": 0.0,
        "minutes": quiet,
        "quiet_minutes": quiet,
        "missing_minutes": MINUTES_PER_DAY - quiet,
    }
    if len(bars):
        opened, closed = float(bars.open[0]), float(bars.close[0])
        known = int(bars.minutes[0])
        row |= {name: float(getattr(bars, name)[0]) for name in ("open", "high", "low", "close", "volume")}
        row |= {
            "quote_volume": None if isnan(bars.quote_volume[0]) else float(bars.quote_volume[0]),
            "trades": None if bars.trades[0] == UNKNOWN_TRADES else int(bars.trades[0]),
            "change": round(closed - opened, bounds.instrument.scale.price),
            "change_percent": round((closed / opened - 1) * 100, 4),
            "minutes": known,
            "quiet_minutes": int(bars.quiet_minutes[0]),
            "missing_minutes": MINUTES_PER_DAY - known,
        }
    return json_response(row)


def _identity(instrument: Instrument, start: int, end: int) -> dict[str, object]:
    return {"symbol": instrument.symbol, "window_start": to_datetime(start), "window_end": to_datetime(end)}
