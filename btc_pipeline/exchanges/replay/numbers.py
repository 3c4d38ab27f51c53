"""Ticks as decimals, as each venue writes them."""

from __future__ import annotations


def decimal_text(ticks: int, decimals: int) -> str:
    """Without trailing zeros but with at least one decimal: 84143.0, 0.00036, 0.0."""
    if not decimals:
        return f"{ticks}.0"
    digits = f"{ticks:0{decimals + 1}d}"
    return f"{digits[:-decimals]}.{digits[-decimals:].rstrip('0') or '0'}"


def plain_text(ticks: int, decimals: int) -> str:
    """Without trailing zeros, and without a point for whole numbers: 16677, 2.081, 0."""
    text = decimal_text(ticks, decimals)
    return text.removesuffix(".0")


def padded_text(ticks: int, decimals: int, width: int) -> str:
    """With at least `width` decimals, more only where they are not zeros: 84143.00000000."""
    if decimals < width:
        ticks, decimals = ticks * 10 ** (width - decimals), width
    if not decimals:
        return str(ticks)
    digits = f"{ticks:0{decimals + 1}d}"
    fraction = digits[-decimals:]
    return f"{digits[:-decimals]}.{fraction[:width]}{fraction[width:].rstrip('0')}"
