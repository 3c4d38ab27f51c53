"""The one exception that is a user's to mend.

Belongs here: the error type whose message is shown as it stands (exit code 2 on the command line, HTTP 404 or 422
from the API). Does not belong here: programming errors, which keep their traceback.
"""


class UserError(Exception):
    """Input that cannot be accepted. The message names the field, the value, and what would be right."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class UnknownNameError(UserError):
    """A name that nothing answers to; the message offers the nearest ones. HTTP 404 where it stands in a path."""


class StrategyError(UserError):
    """A strategy raised something, which is the cause of this, or answered with what cannot be used."""
