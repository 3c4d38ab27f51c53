"""What endpoints share: the connections, the settings, which intervals are stored, the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic_core import to_json

from api.database import Connections
from btc_pipeline.market.intervals import MINUTE, Interval
from btc_pipeline.settings import Settings
from btc_pipeline.storage.times import to_datetime


@dataclass(frozen=True, slots=True)
class Context:
    """One object an application."""

    settings: Settings
    connections: Connections
    materialized: tuple[Interval, ...]

    def now(self) -> int:
        """The epoch minute."""
        return int(time.time()) // 60

    def warm_up_of(self, symbol: str) -> dict[str, Any] | None:
        """Whose bars a symbol's windows may reach back to, as answers say it."""
        found = self.settings.warm_ups.get(symbol)
        return None if found is None else {"source": found.source, "until": to_datetime(found.until)}

    def is_stored(self, interval: Interval) -> bool:
        """Whether bars of an interval are in the table."""
        return interval == MINUTE or interval in self.materialized


def context_of(request: Request) -> Context:
    """The application's context."""
    context: Context = request.app.state.context
    return context


ContextDependency = Annotated[Context, Depends(context_of)]


def json_response(content: Any) -> Response:
    """JSON straight from plain objects: datetimes as ISO 8601 with Z, doubles as short as they can be read back."""
    return Response(to_json(content, inf_nan_mode="null"), media_type="application/json")
