"""The bytes of a candle file: read, fingerprinted, unpacked.

Belongs here: gzip, zip, and what it means when they are damaged. Does not belong here: rows (`tables`).

What a file is, its first bytes tell, not its name: browsers unpack downloads without renaming them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from btc_pipeline.importing.row_errors import UnreadableFileError

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK"
_PARQUET: Final = b"PAR1"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_LOOKED_AT: Final = 4096
REDOWNLOAD: Final = ": re-download it"


@dataclass(frozen=True, slots=True)
class Source:
    """An unpacked file: CSV text without its byte order mark, or the bytes of a Parquet file."""

    name: str
    sha256: str
    data: bytes
    is_parquet: bool


def open_source(path: Path) -> Source:
    """Reads and unpacks a file.

    Raises:
        UserError: it cannot be read, is empty, damaged, cut short, or neither text nor Parquet.
    """
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror or error}") from error
    if not packed:
        raise _error(path, "is empty")
    is_parquet = packed.startswith(_PARQUET)
    if packed.startswith(_GZIP):
        data = _gunzip(path, packed)
    elif packed.startswith(_ZIP):
        data = _unzip(path, packed)
    else:
        data = packed
    if not is_parquet:
        data = _text(path, data)
    return Source(path.name, hashlib.sha256(packed).hexdigest(), data, is_parquet)


def _gunzip(path: Path, packed: bytes) -> bytes:
    try:
        return gzip.decompress(packed)
    except EOFError as error:
        raise _error(path, "ends in the middle (truncated gzip)", REDOWNLOAD) from error
    except (OSError, zlib.error) as error:
        raise _error(path, f"is damaged (gzip: {error})", REDOWNLOAD) from error


def _unzip(path: Path, packed: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
            tables = [name for name in names if name.lower().endswith(".csv")]
            if len(tables) != 1:
                raise _error(
                    path, f"holds {len(tables)} .csv files among {len(names)}; a zip must hold exactly one .csv"
                )
            return archive.read(tables[0])
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        cut = "CRC" not in str(error)
        state = "ends in the middle (truncated zip)" if cut else f"is damaged (zip: {error})"
        raise _error(path, state, REDOWNLOAD) from error
    except (RuntimeError, NotImplementedError, OSError) as error:
        raise _error(path, f"cannot be unpacked ({error}): pass the unpacked .csv") from error


def _text(path: Path, data: bytes) -> bytes:
    """CSV text, checked roughly; single bad bytes are found row by row later."""
    if data.startswith(_UTF_16):
        raise _error(path, "is UTF-16 text: save it as UTF-8")
    if data.startswith(_BYTE_ORDER_MARK):
        data = data[len(_BYTE_ORDER_MARK) :]
    if not data or data.isspace():
        raise _error(path, "is empty")
    first_line, _, _ = data[:_LOOKED_AT].lstrip().partition(b"\n")
    if b"\0" in data[:_LOOKED_AT] or b"\xef\xbf\xbd" in first_line.decode(errors="replace").encode():
        raise _error(path, "is not a text file: a .csv (UTF-8; also .gz or .zip) or .parquet file belongs here")
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    return data


def _error(path: Path, problem: str, way_out: str = "") -> UnreadableFileError:
    return UnreadableFileError(f"{path.name} {problem}", way_out)
