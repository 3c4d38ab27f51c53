"""Launching runs in Dagster, by the GraphQL of its web server: this process knows no more of Dagster.

Belongs here: which job there is, what it is told, what is said when nobody answers. Does not belong here: rows of
`backtest_runs`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import httpx

from api.errors import NotLaunchedError
from btc_pipeline.settings import Settings

log = logging.getLogger(__name__)

JOB: Final = "backtest"
OP: Final = "backtests"
"""The asset that the job makes, whose configuration is the request."""
RANGE_START_TAG: Final = "dagster/asset_partition_range_start"
RANGE_END_TAG: Final = "dagster/asset_partition_range_end"
TIMEOUT_SECONDS: Final = 10.0

FIND: Final = """
query FindJob {
  repositoriesOrError {
    __typename
    ... on RepositoryConnection { nodes { name location { name } jobs { name } } }
    ... on PythonError { message }
  }
}
"""
LAUNCH: Final = """
mutation Launch($executionParams: ExecutionParams!) {
  launchRun(executionParams: $executionParams) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
  }
}
"""


def month_tags(first: date, last: date, start_date: date) -> dict[str, str]:
    """The tags of a run over monthly partitions, those that the days from first to last lie in: for its lineage.

    Args:
        start_date: the first day of the pipeline's partitions; months before it are none.
    """
    months = [max(first, start_date).replace(day=1), last.replace(day=1)]
    if months[0] > months[1]:
        return {}
    return dict(zip((RANGE_START_TAG, RANGE_END_TAG), map(str, months), strict=True))


@dataclass(frozen=True, slots=True)
class Selector:
    """Where the job is."""

    repository: str
    location: str


class Launcher:
    """The way to Dagster's web server. One object a request, as an asynchronous context."""

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._address = settings.dagster_url or f"http://{settings.dagster_host}:{settings.dagster_port}"
        self._client = httpx.AsyncClient(
            base_url=self._address, timeout=TIMEOUT_SECONDS, transport=transport, trust_env=False
        )

    async def __aenter__(self) -> Launcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def find(self) -> Selector:
        """Where the job is loaded from.

        Raises:
            NotLaunchedError: nobody answers, or nobody has it.
        """
        found = (await self._ask(FIND, {}))["repositoriesOrError"]
        for node in found.get("nodes", ()):
            if any(job["name"] == JOB for job in node["jobs"]):
                return Selector(node["name"], node["location"]["name"])
        raise NotLaunchedError(
            f"Dagster at {self._address} has no job {JOB!r} (its code is not loaded?); nothing was stored."
        )

    async def launch(self, selector: Selector, config: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Queues a run with the configuration of its op; gives Dagster's id of it.

        Raises:
            NotLaunchedError: nobody answers, or Dagster does not take it.
        """
        parameters = {
            "selector": {
                "repositoryName": selector.repository,
                "repositoryLocationName": selector.location,
                "jobName": JOB,
            },
            "runConfigData": {"ops": {OP: {"config": dict(config)}}},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = (await self._ask(LAUNCH, {"executionParams": parameters}))["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            log.error("dagster: %s", answer)
            problems = [one["message"] for one in answer.get("errors", ())] or [answer.get("message", "")]
            said = " ".join(" ".join(problems).split())[:300]
            raise NotLaunchedError(
                f"Dagster did not take the run ({answer['__typename']}: {said}); nothing was stored."
            )
        return str(answer["run"]["runId"])

    async def _ask(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._client.post("/graphql", json={"query": query, "variables": dict(variables)})
            data = answer.raise_for_status().json()["data"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            log.warning("dagster: %s: %s", type(error).__name__, error)
            raise NotLaunchedError(
                f"Dagster does not answer at {self._address}, and runs are launched there: start it (btc-pipeline up), "
                "or run btc-pipeline backtest; nothing was stored."
            ) from error
        if not isinstance(data, dict):
            raise NotLaunchedError(f"Dagster at {self._address} answered without data; nothing was stored.")
        return data
