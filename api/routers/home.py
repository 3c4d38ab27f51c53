"""`GET /`: what this is."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.context import json_response
from api.schemas import Home

router = APIRouter(tags=["home"])


@router.get("/", response_model=Home, summary="What this is, and where to go")
async def home(request: Request) -> Response:
    """Name, version, links."""
    links = {
        name: f"/api/v1/{name}"
        for name in ("candles", "indicators", "decisions", "strategies", "instruments", "stats", "health", "backtests")
    }
    return json_response(
        {
            "name": request.app.title,
            "feed": request.app.state.feed,
            "version": request.app.version,
            "description": "Bitcoin candles you can trust, and what your strategies say on odd intervals.",
            "links": {
                "documentation": "/docs",
                "openapi": "/openapi.json",
                **links,
                "candles_latest": "/api/v1/candles/latest",
                "candles_bulk": "/api/v1/candles/bulk",
                "data_quality": "/api/v1/data-quality",
                "export_csv": "/api/v1/export/csv",
            },
        }
    )
