"""What a model finds wrong, in words: field, value, what would be right."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from btc_pipeline.problems import sentence, shown, unknown_name


def even(value: object) -> object:
    if value == "odd":
        raise ValueError("is not even: use 2, 4, 6")
    if value == "none":
        raise ValueError("interval '37x' is unknown. Did you mean 37m?")
    return value


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")

    whole: int = Field(1, ge=1)
    share: float = 0.5
    on: bool = True
    names: list[str] = Field(["a"], min_length=1)
    values: dict[str, Any] = {}
    count: Annotated[Any, BeforeValidator(even)] = 2
    needed: str


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"needed": None}, "needed", "needed null is not valid: it should be a valid string."),
        ({"whole": "x"}, "whole", "whole 'x' is not valid: it should be a valid integer."),
        ({"whole": 0}, "whole", "whole 0 is not valid: it should be greater than or equal to 1."),
        ({"share": [True]}, "share", "share [true] is not valid: it should be a valid number."),
        ({"on": "y" * 50}, "on", f"on '{'y' * 40}...' is not valid: it should be a valid boolean."),
        ({"names": []}, "names", "names [] is not valid: it should have at least 1 item."),
        ({"names": ["a", 5]}, "names.1", "names.1 5 is not valid: it should be a valid string."),
        ({"values": [1]}, "values", "values [1] is not valid: it should be a mapping of names to values."),
        ({"count": "odd"}, "count", "count 'odd' is not even: use 2, 4, 6."),
        ({"count": "none"}, "count", "count: interval '37x' is unknown. Did you mean 37m?"),
        ({"wole": 1}, "wole", "field 'wole' is unknown: did you mean whole?"),
        ({"x": 1}, "x", "field 'x' is unknown: use whole, share, on, names, values, count, needed."),
    ],
)
def test_a_problem_is_one_sentence(given: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ValidationError) as told:
        Model(**{"needed": "", **given})
    assert [sentence(problem, list(Model.model_fields)) for problem in told.value.errors()] == [  # type: ignore[arg-type]
        (field, words)
    ]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValidationError) as told:
        Model()  # type: ignore[call-arg]
    assert sentence(told.value.errors()[0]) == ("needed", "needed is required.")  # type: ignore[arg-type]


def test_a_value_is_shown_as_json_has_it_and_cut() -> None:
    told = [shown(one) for one in (None, True, 1.5, "a'b", {"a": [1]})]
    assert told == ["null", "true", "1.5", '"a\'b"', '{"a": [1]}']
    assert shown(list(range(40))) == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1..."


def test_where_nothing_is_known_nothing_is_offered() -> None:
    assert unknown_name("parameter", "x", []) == "parameter 'x' is unknown: there are none here."
