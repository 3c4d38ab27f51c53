"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from datetime import date

from btc_pipeline.errors import UserError
from btc_pipeline.storage.times import to_day


def parse_day(text: str, field: str) -> int:
    """A date as days since 1970-01-01.

    Raises:
        UserError: not a date such as 2016-01-31.
    """
    try:
        return to_day(date.fromisoformat(text))
    except ValueError as error:
        raise UserError(f"--{field} {text!r} is not a date: write 2016-01-31 (UTC).", field=field) from error


def parse_minutes(text: str, field: str) -> int:
    """A length of time such as 180m, 3h or 2d in minutes.

    Raises:
        UserError: anything else.
    """
    match = re.fullmatch(r"([0-9]{1,7})([mhd])", text, re.ASCII)
    if not match:
        raise UserError(f"--{field} {text!r} is not a length of time: write 180m, 3h or 2d.", field=field)
    return int(match[1]) * {"m": 1, "h": 60, "d": 1440}[match[2]]
