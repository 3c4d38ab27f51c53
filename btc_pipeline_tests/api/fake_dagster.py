"""Dagster's web server as the API sees it: GraphQL over HTTP, runs kept in a list."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class FakeDagster:
    """Takes runs; `takes` says how many before it refuses."""

    launched: list[dict[str, Any]] = field(default_factory=list)
    takes: int = 1_000
    away: bool = False
    loaded: bool = True

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("connection refused", request=request)
        asked = json.loads(request.content)
        if "launchRun" not in asked["query"]:
            jobs = [{"name": "materialize"}, *([{"name": "backtest"}] if self.loaded else [])]
            node = {"name": "__repository__", "location": {"name": "btc_pipeline"}, "jobs": jobs}
            return _data({"repositoriesOrError": {"__typename": "RepositoryConnection", "nodes": [node]}})
        if len(self.launched) >= self.takes:
            refusal = {"__typename": "RunConfigValidationInvalid", "errors": [{"message": "no such\nfield"}]}
            return _data({"launchRun": refusal})
        self.launched.append(asked["variables"]["executionParams"])
        run = {"runId": f"run-{len(self.launched)}"}
        return _data({"launchRun": {"__typename": "LaunchRunSuccess", "run": run}})


def _data(data: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"data": data})
