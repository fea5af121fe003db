"""Values on the command line that are more than a word or a number."""

from __future__ import annotations

import re

import typer


def size(text: str) -> int:
    """Bytes: '65536', '64K' or '1M' (K = 1024 bytes)."""
    match = re.fullmatch(r"(\d+)\s*([kKmM]?)(?:i?[bB])?", text.strip())
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter(f"'{text}' is not a size; write for example 65536, 64K or 1M")
    return int(match[1]) * {"": 1, "k": 1024, "m": 1024 * 1024}[match[2].lower()]


def count(text: str) -> int:
    """'250000', '250K' or '10M' (K = 1000), fractions of them too: '2.5M'."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", text.strip())
    factor = {"": 1, "k": 1000, "m": 1_000_000}[match[2].lower()] if match else 0
    if match is None or float(match[1]) * factor < 1:
        raise typer.BadParameter(f"'{text}' is not a number; write for example 250000, 250K or 10M")
    return round(float(match[1]) * factor)


def whole_numbers(text: str) -> tuple[int, ...]:
    """'48' or '48,64,96', each above 0; sorted, each once."""
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"[1-9]\d{0,8}", word) for word in words):
        raise typer.BadParameter(f"'{text}' is not a list of numbers; write for example 48,64,96")
    return tuple(sorted({int(word) for word in words}))


def numbers(text: str) -> tuple[float, ...]:
    """'0.5' or '0.25,0.5,1', each above 0; sorted, each once."""
    words = [word.strip() for word in text.split(",")]
    pattern = r"\d{1,3}(?:\.\d+)?|\.\d+"
    if not all(re.fullmatch(pattern, word) and float(word) > 0 for word in words):
        raise typer.BadParameter(f"'{text}' is not a list of numbers; write for example 0.25,0.5")
    return tuple(sorted({float(word) for word in words}))


def words(text: str) -> tuple[str, ...]:
    """'yes' or 'yes,no,stop'; sorted, each once."""
    found = tuple(sorted({word.strip() for word in text.split(",") if word.strip()}))
    if not found:
        raise typer.BadParameter(f"'{text}' is not a list of words; write for example yes,no,stop")
    return found
