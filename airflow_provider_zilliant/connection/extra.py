"""Reads a key of Extra as text or flag, however it was saved; what each key may hold is in ``fields``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_zilliant.exceptions import ZilliantConfigError


def text(extra: Mapping[str, Any], key: str) -> str | None:
    """One line of text; ``None`` if the field is empty."""
    value = whole_text(extra, key)
    if value is not None and ("\n" in value or "\r" in value):
        raise ZilliantConfigError(f"Extra {key}: contains a newline")
    return value.strip() if value is not None else None


def whole_text(extra: Mapping[str, Any], key: str) -> str | None:
    """Text of any number of lines, as it is; ``None`` if the field is empty."""
    value = extra.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ZilliantConfigError(f"Extra {key}: expected text, not {type(value).__name__}")
    return value if value.strip() else None


def flag(extra: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """A switch; the default if it was never touched."""
    value = extra.get(key)
    if isinstance(value, str):  # the form of Airflow 2.11 tests a ticked box as "y"
        value = {"": None, "true": True, "y": True, "false": False}.get(value.strip().lower(), value)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ZilliantConfigError(f"Extra {key}: expected true or false")
    return value
