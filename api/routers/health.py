"""`/health`: whether the service answers, and whether its data is well."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Response

from api.context import ContextDependency, json_response
from api.health_schemas import Health
from btc_pipeline.pipeline.health import assess_health, health_questions

router = APIRouter(prefix="/health", tags=["health"])


@router.head("", include_in_schema=False)
@router.get("", response_model=Health, summary="ok, or degraded and why; 503 if the database is away")
async def health(context: ContextDependency) -> Response:
    """Degraded: a symbol whose minutes do not land, a strategy that does not decide, minutes that wait on disk, open
    gaps in the last seven days of a symbol's data, or days that changed and were not looked at since.
    """
    questions = health_questions(context.settings)
    rows = {
        name: await context.connections.fetch(statement, *parameters)
        for name, (statement, parameters) in questions.items()
    }
    report = assess_health(rows, context.settings, datetime.now(UTC))
    return json_response({"database": "ok", **report.to_dict()})
