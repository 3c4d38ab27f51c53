"""The application: `uvicorn api.app:create_app --factory`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from api.caching import CachingMiddleware
from api.context import Context
from api.database import Connections
from api.errors import ERROR_RESPONSES, add_error_handlers
from api.labels import ReplayLabel, title
from api.parameters import guard
from api.routers import (
    backtests,
    candles,
    decisions,
    export,
    health,
    home,
    indicators,
    instruments,
    quality,
    stats,
    strategies,
)
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.settings import Settings, load_settings

PREFIX: Final = "/api/v1"
DESCRIPTION: Final = """
Candles, indicators and decisions of btc_pipeline.

* **Times in**: ISO 8601 (a date or a time; UTC if it names no zone) or epoch milliseconds. Ranges are half-open,
  `[start, end)`, and bound a bar's open time whatever `align` is.
* **Times out**: ISO 8601 with `Z`; epoch milliseconds in `/candles/bulk`.
* **Pages**: ascending by time. With `start`, from there on, and `next` is the address of what follows. Without it, the
  newest rows, and `previous` is the address of those before.
* **Bars**: `materialized` is false for bars made on the spot: of an interval that is not stored (`41m`), or after the
  last stored bar. At most 500,000 minutes are read for them. `forming` bars have not closed and will change.
* **Errors**: `{"detail": [{"field": ..., "message": ...}]}`; 422 for input that cannot be accepted, 404 for a name that
  nothing answers to, 503 while the database is away.
* **Backtests** are the one thing that can be asked for, and deleted, here: whoever reaches this port may. It is
  bound to 127.0.0.1; to reach it from elsewhere, put a proxy with passwords in front. Browsers let pages of the
  setting `api_origins` read answers; none by default.
* Answers carry an ETag; `If-None-Match` is answered with 304.
* **Feed**: `feed` is `replay` where the numbers come from the local exchange, and every answer then carries the header
  `X-Feed: REPLAY`.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. The database need not be there yet.

    Raises:
        UserError: a setting is wrong.
    """
    chosen = load_settings() if settings is None else settings
    stored = build_catalogue(chosen).materialized

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        connections = Connections(chosen)
        app.state.context = Context(chosen, connections, stored)
        connections.start()
        try:
            yield
        finally:
            await connections.close()

    # The page at /docs with its scripts from here: a machine without the internet shows it, too.
    app = FastAPIOffline(
        title=title(chosen), version=product_version(), description=DESCRIPTION, lifespan=lifespan, redoc_url=None
    )
    app.add_middleware(CachingMiddleware)
    if chosen.api_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=chosen.api_origins,
            allow_methods=("GET", "HEAD", "POST", "DELETE"),
            allow_headers=("If-None-Match",),
            expose_headers=("X-Feed", "ETag", "Content-Disposition", "Retry-After"),
        )
    app.state.feed = chosen.feed
    if chosen.feed == "replay":
        app.add_middleware(ReplayLabel)
    add_error_handlers(app)
    app.include_router(home.router, dependencies=[Depends(guard)], responses=_errors(422))
    for module in (candles, indicators, decisions, strategies, instruments, quality, stats, health, export, backtests):
        app.include_router(
            module.router, prefix=PREFIX, dependencies=[Depends(guard)], responses=_errors(404, 422, 503)
        )
    return app


def product_version() -> str:
    """The installed version, or that of a source tree."""
    try:
        return version("btc-pipeline")
    except PackageNotFoundError:
        return "0.0.0"


def _errors(*statuses: int) -> dict[int | str, dict[str, object]]:
    return {status: ERROR_RESPONSES[status] for status in statuses}
