"""What a model finds wrong with values from outside, as sentences for whoever gave them.

Belongs here: pydantic's errors in words, names that nobody knows. Does not belong here: which exception or status they
become.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

SHOWN_CHARACTERS: Final = 40

# Pydantic's own: "Input should be a valid integer, unable to parse string as an integer".
_SHOULD: Final = re.compile(r"\w+ (should .*?)(?:, unable to .*| after validation, not .*)?", re.DOTALL)


def sentence(problem: Mapping[str, Any], fields: Sequence[str] = ()) -> tuple[str, str]:
    """(field, words) of one of pydantic's errors: the field, its value, and what would be right.

    Args:
        problem: of `ValidationError.errors()`.
        fields: names that the model takes, the nearest of which is offered for one that it does not.
    """
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return field, f"{field} is required."
    if problem["type"] != "extra_forbidden":
        return field, _of_value(field, problem)
    if field in fields:
        return field, f"{field} is another name of a field that is given, too: use one of them."
    return field[:SHOWN_CHARACTERS], unknown_name("field", field, fields)


def _of_value(field: str, problem: Mapping[str, Any]) -> str:
    said, value = str(problem["msg"]).removeprefix("Value error, "), shown(problem["input"])
    if said.startswith("is "):
        said = f"{field} {value} {said}"
    elif problem["type"] != "value_error":
        should = _SHOULD.fullmatch(said)
        wanted = f"it {should[1]}" if should else said[:1].lower() + said[1:]
        said = f"{field} {value} is not valid: {wanted.replace('valid dictionary', 'mapping of names to values')}"
    elif not said.startswith(f"{field} "):
        said = f"{field}: {said}"
    return said if said.endswith((".", "?")) else f"{said}."


def unknown_name(what: str, name: str, known: Sequence[str]) -> str:
    """That a name is unknown, with the nearest one that is not, or else all of them."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"use {', '.join(known)}." if known else "there are none here."
    return f"{what} {shown(name)} is unknown: {hint}"


def shown(value: object) -> str:
    """A value as a message has it: text in quotes, anything else as in JSON; the beginning of a long one."""
    if isinstance(value, str):
        text = value[:SHOWN_CHARACTERS]
        return repr(text if text == value else f"{text}...")
    text = json.dumps(value, default=str)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
