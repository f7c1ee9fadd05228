"""What goes wrong in the embedded Zilliant: refusals, and the faults that a test injects."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

FAULTS = {
    "status": "reply with `status` (and `body`, `headers`), without processing the request",
    "echo": "reply with `status` and a body that repeats the request, including its secrets",
    "drop": "close the connection before processing the request",
    "lose_reply": "process the request, then close the connection without a reply",
    "cut": "process the request, then send the reply's headers and half of its body",
    "hang": "process nothing, send nothing for `seconds`, then close the connection",
    "process_and_hang": "process the request, send nothing for `seconds`, then close the connection",
    "garbage": "process the request, then reply with the right status and a meaningless body",
    "delay": "process the request, and reply after `seconds`",
}


#: The fields of a fault, and their types.
FAULT_FIELDS: dict[str, tuple[type, ...]] = {
    "fault": (str,),
    "status": (int,),
    "body": (str,),
    "headers": (dict,),
    "seconds": (int, float),
    "method": (str, type(None)),
    "path": (str,),
    "times": (int, type(None)),
    "skip": (int,),
    "probability": (int, float),
}


class Refused(Exception):
    """A reply that is not a success.

    :param status: the HTTP status.
    :param body: the JSON body.
    """

    def __init__(self, status: int, **body: str) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


@dataclass
class Fault:
    """One injected fault, for the next ``times`` requests that match."""

    fault: str
    status: int = 503
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 60.0
    method: str | None = None
    path: str = ""
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0

    def strikes(self, method: str, path: str, chance: float) -> bool:
        if self.times == 0 or (self.method or method) != method or self.path not in path:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if chance >= self.probability:
            return False
        if self.times is not None:
            self.times -= 1
        return True


def parse_fault(order: object) -> Fault:
    """The body of ``POST /sandbox/faults``.

    :raises Refused: 400, naming what is wrong.
    """
    if not isinstance(order, dict) or order.get("fault") not in FAULTS:
        raise Refused(400, message=f"expected an object with 'fault', one of {', '.join(FAULTS)}")
    unknown = set(order) - set(FAULT_FIELDS)
    if unknown:
        raise Refused(400, message=f"unknown fields: {', '.join(sorted(unknown))}")
    if isinstance(order.get("body"), dict | list):
        order = {**order, "body": json.dumps(order["body"])}
    for name, value in order.items():
        if not isinstance(value, FAULT_FIELDS[name]):
            raise Refused(400, message=f"{name}: wrong type")
    return Fault(**order)
