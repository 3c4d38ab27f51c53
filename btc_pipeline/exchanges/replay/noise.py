"""Numbers that look random and are a function of where they are asked."""

from __future__ import annotations

from typing import Final

_MASK: Final = (1 << 64) - 1


def mixed(seed: int, x: int) -> int:
    """64 bits that depend on all bits of both (the finalizer of splitmix64)."""
    z = (seed * 0xD1342543DE82EF95 + x * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def unit(seed: int, x: int) -> float:
    """A number in [0, 1)."""
    return (mixed(seed, x) >> 11) * 2.0**-53


def smooth(seed: int, x: int, period: int) -> float:
    """Value noise in [-1, 1): hashed values every `period`, eased between."""
    cell, rest = divmod(x, period)
    left = unit(seed, cell)
    if rest:
        t = rest / period
        left += (unit(seed, cell + 1) - left) * (t * t * (3 - 2 * t))
    return 2 * left - 1


def text_seed(seed: int, text: str) -> int:
    """A seed for a name."""
    for byte in text.encode():
        seed = mixed(seed, byte)
    return seed
