"""What Hyperliquid's candle frames look like to whoever spoils them."""

from __future__ import annotations

import json
from typing import Final

from btc_pipeline.exchanges.replay.garbage import Shape
from btc_pipeline.exchanges.replay.hyperliquid_text import GREETING, compact


def _as_list(frame: bytes) -> bytes:
    message = json.loads(frame)
    return compact(message | {"data": [message["data"]]})


SHAPE: Final = Shape(
    where=("data",),
    start="t",
    end="T",
    open="o",
    high="h",
    low="l",
    close="c",
    volume="v",
    interval="i",
    trades="n",
    strangers=(
        GREETING,
        b"",
        b"null",
        b"[]",
        b'{"channel":"candle"}',
        b'{"channel":"candle","data":null}',
        b'{"channel":["candle"],"data":{}}',
        b'{"channel":"somethingNew","data":{"a":1}}',
    ),
    # A list, as the documentation has it.
    documented=_as_list,
)
