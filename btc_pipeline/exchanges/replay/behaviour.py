"""How the exchange behaves where nobody knows for sure, or where a test wants less than the real one's sizes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EmptyMinute(StrEnum):
    """What REST says of a closed minute without trades; the stream says nothing in any case."""

    OMIT = "omit"
    LATE_FLAT = "late-flat"
    FLAT = "flat"


class PongFrames(StrEnum):
    """What becomes of WebSocket ping frames; JSON pings always get a pong that counts."""

    IGNORED = "ignored"
    ANSWERED = "answered"
    COUNTED = "counted"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Seconds, counts and choices; the defaults are the venues' as far as known, else the harder to live with.

    Attributes:
        frames_per_minute: candle frames of a busy minute.
        publish_delay: seconds from a trade to its frame, so that the last frame of a minute may follow its end.
        empty_minute, late_flat_seconds: what REST says of a minute without trades, and how long after its end.
        retention: how many of the newest bars of an interval REST still has.
        silence_seconds: a socket that was sent nothing for so long is cut, without a close frame.
        poison_seconds: from the subscription to a coin that does not exist to the end of the socket.
        pong_frames: whether ping frames are answered, and whether the answer counts against silence.
        greeting: whether a new socket is greeted with a text that is no JSON.
        replayed_trades: how many of the newest trades a subscription to trades begins with.
        archive_from: the epoch minute before which no file of an archive ends.
        month_file_hours, day_file_hours: from the end of a month or day to its file.
        kline_seconds: from one frame of Binance's forming minute to the next at least.
        lifetime_seconds, warning_seconds: how long a socket of Binance lives, and how long before it is warned.
        client_silence_seconds: a socket of Bybit whose client has sent nothing for so long is cut.
        refusal_seconds: for how long Bybit refuses a peer that asked too often.
        ban_seconds: how long Binance's first ban lasts; each further one twice as long as the one before.
        refusal_status: HTTP status for a socket over the limits; None cuts it without an answer.
    """

    frames_per_minute: int = 60
    publish_delay: float = 0.25
    empty_minute: EmptyMinute = EmptyMinute.LATE_FLAT
    late_flat_seconds: float = 90.0
    retention: int = 5000
    silence_seconds: float = 60.0
    poison_seconds: float = 0.1
    pong_frames: PongFrames = PongFrames.ANSWERED
    greeting: bool = False
    replayed_trades: int = 30
    refusal_status: int | None = None
    archive_from: int = 0
    month_file_hours: float = 56.0
    day_file_hours: float = 4.0
    kline_seconds: float = 2.0
    lifetime_seconds: float = 86_400.0
    warning_seconds: float = 600.0
    client_silence_seconds: float = 60.0
    refusal_seconds: float = 600.0
    ban_seconds: float = 120.0
    max_connections: int = 10
    max_dials_per_minute: int = 30
    max_subscriptions: int = 1000
    max_messages_per_minute: int = 2000
    weight_per_minute: int = 1200
