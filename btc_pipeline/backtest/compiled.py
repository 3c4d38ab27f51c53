"""How the compiled functions of this package are compiled, and where the result is kept.

numba keeps machine code beside a hash of the function's own file alone: after a change of `exits.py` it would go on
running the old exits inside `kernel.py`. So the folder is named by the sources of all of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numba

_CONFIG: Final[Any] = numba.config

HERE: Final = Path(__file__).parent
SOURCES: Final = tuple(HERE / f"{name}.py" for name in ("compiled", "exits", "kernel", "metrics"))


def cache_folder(base: Path, sources: Sequence[Path]) -> Path:
    """The folder of machine code made from exactly those sources."""
    digest = hashlib.blake2b(digest_size=8)
    for source in sources:
        digest.update(hashlib.blake2b(source.read_bytes()).digest())
    return base / f"compiled-{digest.hexdigest()}"


def _base() -> Path:
    if _CONFIG.CACHE_DIR:
        return Path(_CONFIG.CACHE_DIR)
    beside = HERE / "__pycache__"
    if os.access(beside if beside.exists() else HERE, os.W_OK):
        return beside
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "btc-pipeline"


_FOLDER: Final = str(cache_folder(_base(), SOURCES))


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function when it is first called, or reads what an earlier process compiled.

    Strict IEEE arithmetic in the order of the source; the interpreter's lock is released meanwhile.
    """
    before, _CONFIG.CACHE_DIR = _CONFIG.CACHE_DIR, _FOLDER
    try:
        made: Callable[..., Any] = numba.njit(cache=True, nogil=True)(function)
        return made
    finally:
        _CONFIG.CACHE_DIR = before
