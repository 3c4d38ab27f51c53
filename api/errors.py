"""Errors as answers: one shape, the command line's words, never a traceback.

Belongs here: which exception becomes which status. Does not belong here: raising them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AliasChoices, BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from api.labels import REPLAY_HEADERS
from api.schemas import ErrorBody
from btc_pipeline.errors import UnknownNameError, UserError
from btc_pipeline.problems import sentence, shown

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 5

ERROR_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": ErrorBody, "description": "A name that nothing answers to; the message offers the nearest."},
    422: {"model": ErrorBody, "description": "Input that cannot be accepted; the message says what would be right."},
    503: {
        "model": ErrorBody,
        "description": "The database (or Dagster, where it is needed) does not answer; try again.",
    },
}
"""What every endpoint may answer besides its own."""


class DatabaseAwayError(Exception):
    """The database does not answer, or is not ready."""


class NotLaunchedError(Exception):
    """Dagster does not answer, or does not take a run; one sentence."""


class BusyError(Exception):
    """As many large answers are being written as this process writes at a time."""


def add_error_handlers(app: FastAPI) -> None:
    """Makes every error of the application an `ErrorBody`."""
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(DatabaseAwayError, _away)
    app.add_exception_handler(BusyError, _away)
    app.add_exception_handler(NotLaunchedError, _away)
    app.add_exception_handler(Exception, _bug)


def error_response(
    status: int, problems: Sequence[tuple[str | None, str]], headers: dict[str, str] | None = None
) -> JSONResponse:
    """A response with (field, message) pairs."""
    detail = [{"field": field, "message": message} for field, message in problems]
    return JSONResponse(
        {"detail": detail}, status_code=status, headers={"Cache-Control": "no-store", **(headers or {})}
    )


async def _user_error(_: Request, error: Exception) -> JSONResponse:
    field = error.field if isinstance(error, UserError) else None
    return error_response(404 if isinstance(error, UnknownNameError) else 422, [(field, str(error))])


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    return error_response(422, [_problem(request, problem) for problem in problems])


def _problem(request: Request, problem: dict[str, Any]) -> tuple[str, str]:
    """(field, message): a field by its path in the body, or a parameter by its name."""
    where, *path = problem["loc"]
    if where != "body":
        return sentence({**problem, "loc": path})
    model = request.scope["route"].dependant.body_params[0].field_info.annotation
    if path and problem["type"] != "json_invalid":
        return sentence({**problem, "loc": path}, names_of(model))
    example = json.dumps(model.model_config.get("json_schema_extra", {}).get("example"))
    if problem["type"] == "json_invalid":
        said = f"is not JSON (character {path[0]}: {problem['ctx']['error']}): send an object"
    elif problem["type"] == "missing":
        said = "is required: send a JSON object"
    elif isinstance(problem["input"], bytes):
        # Nobody has parsed it: curl, for one, calls everything a form.
        said = f"came as {request.headers.get('content-type', 'unknown')!r:.40}: send it as application/json"
    else:
        said = f"{shown(problem['input'])} is not an object: send one"
    return "body", f"body {said}, such as {example}."


def names_of(model: type[BaseModel]) -> list[str]:
    """What a body may call the fields of a model."""
    found = []
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        found += alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return [str(name) for name in found]


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status == 404:
        return error_response(404, [("path", f"there is no {request.url.path[:80]!r}; /docs lists what there is.")])
    if status == 405:
        allowed = _methods_of(request)
        problem = "method", f"{request.method} is not possible here; use {' or '.join(allowed)}."
        return error_response(405, [problem], headers | {"Allow": ", ".join(allowed)})
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    return error_response(status, [(None, str(detail))], headers)


def _methods_of(request: Request) -> list[str]:
    """What its path takes; the router itself names the methods of one of several routes."""
    paths = request.app.openapi()["paths"].items()
    documented = [operations for path, operations in paths if compile_path(path)[0].match(request.url.path)]
    return sorted({method.upper() for operations in documented for method in operations}) or ["GET"]


async def _away(_: Request, error: Exception) -> JSONResponse:
    return error_response(503, [(None, str(error))], {"Retry-After": str(RETRY_SECONDS)})


async def _bug(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    # This answer is made outside of all middleware.
    headers = REPLAY_HEADERS if request.app.state.feed == "replay" else None
    return error_response(500, [(None, "the server made a mistake, which is in its log.")], headers)
