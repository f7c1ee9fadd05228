"""Options of operators and sensor: their defaults, and the check of durations and literals at Dag parsing.

They run whenever a Dag file is parsed, so this module imports next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

DEFAULT_CONN_ID = "zilliant_default"
DEFAULT_DESCRIPTOR = "PLATFORM_CUSTOM_WORKFLOW"


def parse_seconds(name: str, value: object) -> float | None:
    """An argument that is a timedelta, a number of seconds, or ``None`` for no limit.

    :raises ValueError: naming the argument.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ValueError(
            f"{name}: expected a timedelta, a number of seconds from 0, or None for no limit; not {value!r}"
        )
    return float(seconds)


def parse_poll_interval(value: object) -> float | None:
    """The argument ``poll_interval``: seconds, more than 0, or ``None`` for adaptive.

    :raises ValueError: naming the argument.
    """
    if value is None:
        return None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f"poll_interval: expected a number of seconds above 0, or None for adaptive; not {value!r}")
    return float(value)


def parse_request_timeout(value: object) -> float:
    """The argument ``request_timeout``: seconds, more than 0.

    :raises ValueError: naming the argument.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f"request_timeout: expected a positive number of seconds, not {value!r}")
    return float(value)


def check_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """Refuses a value that is not among those allowed.

    :raises ValueError: naming the argument.
    """
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in allowed):
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, allowed))}; not {value!r}")
