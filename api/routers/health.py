"""`/health`: whether the service answers, and whether its data is well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Response

from api.context import ContextDependency, json_response
from api.schemas import Health
from btc_pipeline.storage.queries import HEALTH

router = APIRouter(prefix="/health", tags=["health"])

LIVE_WITHIN: Final = timedelta(days=7)
LATE_AFTER: Final = timedelta(minutes=10)


@router.get("", response_model=Health, summary="ok, or degraded and why; 503 if the database is away")
async def health(context: ContextDependency) -> Response:
    """Degraded: days whose minutes changed and were not looked at since, gaps in the last seven days of a symbol's
    data, or a live symbol (it had a minute within seven days) that is more than ten minutes behind.
    """
    now = datetime.now(UTC)
    symbols = [_symbol(dict(row), now) for row in await context.connections.fetch(HEALTH)]
    problems = [f"{one['symbol']}: {problem}" for one in symbols for problem in one["problems"]]
    return json_response(
        {
            "status": "degraded" if problems else "ok",
            "time": now.replace(microsecond=0),
            "database": "ok",
            "problems": problems,
            "symbols": symbols,
        }
    )


def _symbol(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    last = row["last_minute"]
    age = None if last is None else max(timedelta(0), now - last - timedelta(minutes=1))
    problems = []
    if row["touched_days"]:
        problems.append(f"{row['touched_days']} days changed and are not materialised since")
    if row["recent_open_gaps"]:
        problems.append(f"{row['recent_open_gaps']} open gaps in the last seven days of its data")
    if age is not None and LATE_AFTER < age <= LIVE_WITHIN:
        problems.append(f"no new minute for {age // timedelta(minutes=1)} minutes")
    return {**row, "age_seconds": None if age is None else int(age.total_seconds()), "problems": problems}
