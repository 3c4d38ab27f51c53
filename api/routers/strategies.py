"""`/strategies`: those there are, and where they are at work."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Response

from api.context import ContextDependency, json_response
from api.schemas import Strategies

router = APIRouter(prefix="/strategies", tags=["strategies"])


@router.get("", response_model=Strategies, summary="Strategies, their parameters and where they are configured")
async def strategies(context: ContextDependency) -> Response:
    """Built-in strategies and a user's own, as loaded when the API started."""
    at_work = context.settings.strategies_at_work
    described = [
        {
            "name": strategy.name,
            "display_name": strategy.display_name,
            "description": strategy.description,
            "parameters": [{**asdict(p), "type": p.type.__name__} for p in strategy.parameters],
            "fixed": dict(strategy.fixed),
            "direction": strategy.direction,
            "exits": asdict(strategy.exits),
            "plots": list(strategy.plots),
            "configured": [
                {"interval": one.interval.name, "parameters": dict(one.parameters)}
                for one in at_work
                if one.strategy.name == strategy.name
            ],
        }
        for _, strategy in sorted(context.settings.registry.strategies.items())
    ]
    return json_response({"count": len(described), "data": described})
