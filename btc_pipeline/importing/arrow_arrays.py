"""Arrow columns to NumPy arrays and masks back.

Belongs here: the conversions that this package needs. The trap: Arrow's own `to_numpy`, and `pa.array` of a NumPy
array or a list, import pandas if it is installed, which takes longer than reading a year of candles. These do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from btc_pipeline.market.candles import BoolArray


def to_numpy(column: Any) -> Any:
    """The values of a column without nulls: numbers or booleans, n rows, in memory that may be read-only."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_boolean(array.type):
        return np.from_dlpack(array.cast(pa.uint8())).view(np.bool_)
    return np.from_dlpack(array)


def to_mask(rows: BoolArray) -> Any:
    """Arrow booleans of bool[n], to filter by."""
    bits = np.packbits(rows, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(rows), [None, pa.py_buffer(bits)])
