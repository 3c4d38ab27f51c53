"""The replay exchange's own requests, beside those of the exchange it plays: its state, and faults on command."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay.faults import Fault
from btc_pipeline.exchanges.replay.http import HttpRequest, Reply

PREFIX = "/replay/"


class Control:
    """Answers `GET /replay/state`, `POST /replay/faults` and `DELETE /replay/faults`. No fault applies to it."""

    def __init__(
        self, state: Callable[[], dict[str, Any]], inject: Callable[[Fault], Fault], clear: Callable[[], None]
    ) -> None:
        self._state = state
        self._inject = inject
        self._clear = clear

    def answer(self, request: HttpRequest) -> Reply:
        asked = f"{request.method} {request.path}"
        if asked == "GET /replay/state":
            return _json(200, self._state())
        if asked == "POST /replay/faults":
            try:
                fault = self._inject(Fault.parse(json.loads(request.body)))
            except (ValueError, RecursionError):
                return _json(422, {"error": "the body is no JSON"})
            except UserError as error:
                return _json(422, {"error": str(error)})
            return _json(200, fault_json(fault))
        if asked == "DELETE /replay/faults":
            self._clear()
            return _json(200, {})
        return _json(404, {"error": "there are GET /replay/state, POST /replay/faults and DELETE /replay/faults"})


def fault_json(fault: Fault) -> dict[str, Any]:
    return {
        "kind": fault.kind.value,
        "at": fault.at,
        "seconds": fault.seconds,
        "value": fault.value,
        "venue": fault.venue,
    }


def _json(status: int, value: Any) -> Reply:
    return Reply(status, json.dumps(value).encode() + b"\n")
