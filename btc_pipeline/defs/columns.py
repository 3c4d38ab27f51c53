"""Column schemas of the tables, with units, as the Dagster UI shows them."""

from __future__ import annotations

from typing import Final

import dagster as dg

Columns = tuple[tuple[str, str, str], ...]
"""(name, type, meaning with its unit) of each column."""

_PRICE = "quote currency"
_KEY_COLUMNS = (
    ("time", "timestamptz", "open time of the bar, UTC"),
    ("symbol", "text", "instrument at its venue"),
    ("interval", "text", "bar length"),
)

CANDLE_COLUMNS: Final[Columns] = (
    *_KEY_COLUMNS,
    ("open", "double precision", f"first traded price, {_PRICE}"),
    ("high", "double precision", f"highest traded price, {_PRICE}"),
    ("low", "double precision", f"lowest traded price, {_PRICE}"),
    ("close", "double precision", f"last traded price, {_PRICE}"),
    ("volume", "double precision", "traded, base currency"),
    ("quote_volume", "double precision", "traded, quote currency; null where the venue does not tell"),
    ("taker_buy_volume", "double precision", "bought by takers, base currency; null where the venue does not tell"),
    ("trades", "bigint", "number of trades; null where the venue does not tell"),
    ("minutes", "integer", "minutes present, the quiet ones among them"),
    ("quiet_minutes", "integer", "minutes known to have had no trade"),
    ("expected_minutes", "integer", "minutes of the slot"),
    ("usable", "boolean", "enough minutes present, the closing one among them"),
    ("status", "text", "provisional, confirmed, revised, tainted; bars of other intervals are derived"),
    ("recorded_at", "timestamptz", "when it was stored"),
)
INDICATOR_COLUMNS: Final[Columns] = (
    *_KEY_COLUMNS,
    ("indicator_name", "text", "as in the settings; see indicator_definitions"),
    ("value", "double precision", "of the indicator at the bar's close"),
    ("settled", "boolean", "false: made from fewer bars than its window holds"),
    ("warmed", "boolean", "it rests on bars of another venue, as the setting warmup allows"),
)
DECISION_COLUMNS: Final[Columns] = (
    *_KEY_COLUMNS,
    ("strategy", "text", "name of the strategy"),
    ("parameters", "jsonb", "its parameters"),
    ("version", "integer", "1, and one more each time it came out different"),
    ("withdrawn", "boolean", "the bar is gone: this version takes the decision back"),
    ("target", "smallint", "-1 short, 0 flat, 1 long; null: no opinion"),
    ("type", "text", "OPEN_LONG, OPEN_SHORT, CLOSE_LONG, CLOSE_SHORT or HOLD"),
    ("confidence", "double precision", "0 to 1"),
    ("reasons", "text[]", "why, in sentences"),
    ("indicator_snapshot", "jsonb", "the values it saw"),
    ("input_digest", "text", "digest of all it saw"),
    ("origin", "text", "live, backfill or repair"),
    ("recorded_at", "timestamptz", "when it was stored"),
    ("warmed", "boolean", "it saw bars of another venue, as the setting warmup allows"),
)
BACKTEST_COLUMNS: Final[Columns] = (
    ("id", "uuid", "of the run"),
    ("group_id", "uuid", "of runs that were asked for together"),
    ("run_key", "text", "digest of everything that can change the result"),
    ("result_hash", "text", "digest of every fill"),
    ("status", "text", "queued, running, done or failed"),
    ("symbol", "text", "instrument at its venue"),
    ("interval", "text", "bar length"),
    ("strategy", "text", "name of the strategy"),
    ("configuration", "jsonb", "the request, with everything that it left open decided"),
    ("results", "jsonb", "figures; money in quote currency, returns as fractions"),
    ("message", "text", "of a failed run why, in words"),
    ("progress", "double precision", "0 to 1"),
    ("dagster_run_id", "text", "the run in Dagster that made it"),
    ("finished_at", "timestamptz", "when it was done or had failed"),
)
SWEEP_COLUMNS: Final[Columns] = (
    ("sweep_key", "text", "digest of everything that can change a row, the grid included"),
    ("number", "integer", "place in the grid, from 0"),
    ("parameters", "jsonb", "all of the strategy's"),
    ("figures", "double precision[]", "metrics; money in quote currency, returns as fractions, null where undefined"),
)


def table_schema(columns: Columns) -> dg.TableSchema:
    """Columns as Dagster's table schema."""
    return dg.TableSchema(columns=[dg.TableColumn(name, kind, description=meaning) for name, kind, meaning in columns])
