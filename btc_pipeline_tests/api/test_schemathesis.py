"""Generated requests, from the API's own description: no answer is a server error, and every error has words."""

from __future__ import annotations

from pathlib import Path
from random import Random

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from starlette.testclient import TestClient

from api.app import create_app
from api.schemas import ErrorBody
from btc_pipeline.settings import Settings
from btc_pipeline_tests.api.conftest import SYMBOL

INTERVALS = ["1m", "37m", "41m", "1440m", "1w", "1M"]
TIMES = ["1970-01-01", "1970-01-01T00:00:00.000001", "2016-01-05", "1451692800001", "2199-12-31T23:59:59.999999"]

DESCRIPTION = create_app(Settings(strategies_folder=Path("/nonexistent"))).openapi()
ORDER_FIELDS = {"symbol", "start_date", "strategy", "parameters", "intervals", "size"}
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)
SCHEMA.config.update(base_url="http://testserver")

FEW = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def check(client: TestClient, case: Case) -> None:
    request = case.as_transport_kwargs(base_url="http://testserver")
    answer = client.request(
        request["method"],
        request["url"],
        params=request.get("params"),
        headers=dict(request["headers"] or {}),
        json=request.get("json"),
    )
    # There is no Dagster to launch runs in.
    away = request["method"] == "POST" and answer.status_code == 503
    assert answer.status_code < 500 or away, (request, answer.text[:500])
    if answer.status_code >= 400:
        assert ErrorBody.model_validate(answer.json()).detail[0].message


@SCHEMA.parametrize()
@FEW
def test_no_generated_request_is_a_server_error(case: Case, client: TestClient) -> None:
    check(client, case)


@SCHEMA.parametrize()
@FEW
def test_nor_one_that_gets_past_the_first_checks(case: Case, client: TestClient) -> None:
    known = {parameter["name"] for parameter in case.operation.definition.raw.get("parameters", [])}
    generated = dict(case.query or {})
    random = Random(repr(generated))
    given = {"symbol": SYMBOL, "interval": random.choice(INTERVALS)}
    given |= {name: random.choice(TIMES) for name in ("start", "end", "as_of") if name in generated}
    case.query = generated | {name: value for name, value in given.items() if name in known}
    if isinstance(case.body, dict):
        good = {"symbol": SYMBOL, "start_date": "2016-01-02", "strategy": "ma", "parameters": {"period": 5}}
        case.body = case.body | {"intervals": [random.choice(INTERVALS)], **random.choice([good, good | {"size": 0.5}])}
        case.body = {name: value for name, value in case.body.items() if name in ORDER_FIELDS or random.random() < 0.1}
    check(client, case)
