"""Statements on raw trades (asyncpg): partitions of a calendar month, made when needed and dropped whole.

Belongs here: SQL text, and which partition a moment is in. Does not belong here: when to write and what to keep.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

LOCK_NAME: Final = "trades"
"""Whoever makes or drops partitions holds this lock."""

INSERT: Final = """
INSERT INTO trades (time, symbol, trade_id, price, size, taker_buy)
SELECT timestamptz 'epoch' + time_ms * interval '1 millisecond', symbol, trade_id, price, size, taker_buy
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::float8[], $5::float8[], $6::boolean[])
    AS t (symbol, time_ms, trade_id, price, size, taker_buy)
ON CONFLICT DO NOTHING
"""
"""The months' partitions must be there."""

PARTITIONS: Final = """
SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'trades'::regclass ORDER BY 1
"""

_NAME: Final = re.compile(r"trades_([0-9]{4})_([0-9]{2})")


class Month:
    """A calendar month, UTC, as a count of months since the year 0."""

    def __init__(self, count: int) -> None:
        self.count = count

    @classmethod
    def of(cls, seconds: float) -> Month:
        """That of a moment in seconds since 1970-01-01."""
        moment = datetime.fromtimestamp(seconds, UTC)
        return cls(moment.year * 12 + moment.month - 1)

    @classmethod
    def of_partition(cls, name: str) -> Month | None:
        """That of a partition; None if it is none of ours."""
        match = _NAME.fullmatch(name)
        return cls(int(match[1]) * 12 + int(match[2]) - 1) if match else None

    @property
    def start(self) -> datetime:
        return datetime(self.count // 12, self.count % 12 + 1, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        return Month(self.count + 1).start

    @property
    def partition(self) -> str:
        return f"trades_{self.start:%Y_%m}"

    def create(self) -> str:
        """The statement that makes its partition if there is none."""
        return (
            f"CREATE TABLE IF NOT EXISTS {self.partition} PARTITION OF trades "
            f"FOR VALUES FROM ('{self.start.isoformat()}') TO ('{self.end.isoformat()}')"
        )

    def drop(self) -> str:
        """The statement that drops its partition."""
        return f"DROP TABLE IF EXISTS {self.partition}"
