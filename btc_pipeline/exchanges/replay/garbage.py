"""Frames that no exchange should send: a client must survive them, and believe none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from btc_pipeline.exchanges.replay.market import MINUTE_MS


@dataclass(frozen=True, slots=True)
class Shape:
    """How a wire's candle frames look.

    Attributes:
        where: the keys that lead from the frame to the candle's object.
        start, end, open, high, low, close, volume, interval: names of its fields; `trades` if it has that.
        strangers: frames of the wire that are no candles, and must not be taken for some.
        documented: another form of a true frame, which a client may take or leave.
    """

    where: tuple[str | int, ...]
    start: str
    end: str
    open: str
    high: str
    low: str
    close: str
    volume: str
    interval: str
    trades: str | None
    strangers: tuple[bytes, ...]
    documented: Callable[[bytes], bytes] | None = None


def garbage(number: int, frame: bytes, shape: Shape, name: str) -> bytes:
    """The number-th piece of garbage made from a true candle frame.

    Args:
        name: of the instrument, as it stands in the frame.
    """
    pieces = len(shape.strangers) + len(_SPOILT) + (shape.documented is not None)
    index = number % pieces
    if index < len(shape.strangers):
        return shape.strangers[index]
    index -= len(shape.strangers)
    if index == len(_SPOILT):
        assert shape.documented is not None  # noqa: S101 counted above
        return shape.documented(frame)
    return _SPOILT[index](frame, shape, name)


def _changed(frame: bytes, shape: Shape, *changes: tuple[str | None, Any]) -> bytes:
    """The frame with some fields of its candle replaced, or left out where the change is None."""
    message = json.loads(frame)
    candle = message
    for key in shape.where:
        candle = candle[key]
    for field, value in changes:
        if field is None:
            candle.clear()
        elif value is None:
            del candle[field]
        else:
            candle[field] = value
    return json.dumps(message, separators=(",", ":")).encode()


def _moved(frame: bytes, shape: Shape, minutes: int) -> bytes:
    message = json.loads(frame)
    candle = message
    for key in shape.where:
        candle = candle[key]
    candle[shape.start] += minutes * MINUTE_MS
    candle[shape.end] += minutes * MINUTE_MS
    return json.dumps(message, separators=(",", ":")).encode()


def _start(frame: bytes, shape: Shape) -> int:
    candle = json.loads(frame)
    for key in shape.where:
        candle = candle[key]
    start: int = candle[shape.start]
    return start


_SPOILT: Final[tuple[Callable[[bytes, Shape, str], bytes], ...]] = (
    lambda _frame, _shape, _name: b"[" * 2000,
    lambda frame, _shape, _name: frame[: len(frame) // 2],
    lambda frame, shape, _name: _changed(frame, shape, (shape.close, None)),
    lambda frame, shape, _name: _changed(frame, shape, (shape.start, None)),
    lambda frame, shape, _name: _changed(frame, shape, (shape.open, "-1.0"), (shape.low, "-1.0")),
    lambda frame, shape, _name: _changed(frame, shape, (shape.volume, "-0.5")),
    lambda frame, shape, _name: _changed(frame, shape, (shape.trades, -3)),
    lambda frame, shape, _name: _changed(frame, shape, (shape.trades, "many")),
    lambda frame, shape, _name: _changed(frame, shape, (shape.high, "NaN")),
    lambda frame, shape, _name: _changed(frame, shape, (shape.close, "Infinity"), (shape.high, "Infinity")),
    lambda frame, shape, _name: _changed(frame, shape, (shape.open, {"price": 1})),
    lambda frame, shape, _name: _changed(frame, shape, (shape.close, "12,5")),
    lambda frame, shape, _name: _changed(frame, shape, (shape.volume, "0.1234567890123")),
    lambda frame, _shape, name: frame.replace(name.encode(), b"NOPE"),
    lambda frame, shape, _name: _changed(frame, shape, (shape.interval, "7m")),
    lambda frame, shape, _name: _changed(frame, shape, (shape.start, _start(frame, shape) + 1)),
    lambda frame, shape, _name: _changed(frame, shape, (shape.end, _start(frame, shape))),
    lambda frame, shape, _name: _moved(frame, shape, 500_000),
)
