"""What a process keeps of its logins: the token, and how long it rests after logins that brought nothing."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TypeAlias

from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.token import Token
from airflow_provider_zilliant.exceptions import ZilliantAuthError, ZilliantError

#: Between logins of one process that bring nothing, in seconds: the pause after the second of them, which doubles
#: from then on, and the longest one, after a refusal and after trouble of the login server.
FIRST_REST, LONGEST_REST, LONGEST_REST_IN_TROUBLE = 5.0, 300.0, 60.0
#: The longest ``Retry-After`` of a login server that is followed, in seconds.
LONGEST_RETRY_AFTER = 900.0


@dataclass
class Kept:
    """What a process keeps of its logins to one environment.

    A login brings nothing if it fails, or if Zilliant refuses its token at once. The more do so in a row, the longer
    the process rests: Salesforce allows a user 3,600 logins an hour, however many tasks ask for one.
    """

    token: Token | None = None
    #: Whether Zilliant has accepted the token.
    is_proven: bool = False
    #: Logins in a row that brought nothing; and the error of the last one, if it has one.
    failures: int = 0
    error: ZilliantError | None = None
    failed_time: float = 0.0
    rest: float = 0.0

    def prove(self) -> None:
        self.is_proven, self.failures, self.error = True, 0, None

    def fail(self, now: float, error: ZilliantError | None) -> None:
        self.failures, self.error, self.failed_time = self.failures + 1, error, now
        is_refusal = error is None or isinstance(error, ZilliantAuthError)
        longest = LONGEST_REST if is_refusal else LONGEST_REST_IN_TROUBLE
        rest = min(FIRST_REST * 2.0 ** min(self.failures - 2, 10), longest) if self.failures > 1 else 0.0
        self.rest = max(rest, min(getattr(error, "retry_after", None) or 0.0, LONGEST_RETRY_AFTER))

    def remaining_rest(self, now: float) -> float:
        """The seconds until the next login; 0 too if somebody has set the clock back."""
        passed = now - self.failed_time
        return max(0.0, self.rest - passed) if self.failures and passed >= 0 else 0.0

    def told_again(self, now: float) -> ZilliantError | None:
        """The last failure, for another call."""
        if self.error is None:
            return None
        again = copy.copy(self.error)
        if remaining := self.remaining_rest(now):
            addition = f" No login was tried this time: the next one is due in {remaining:.0f} s."
            again.args = (f"{self.error}{addition}",)
            again.detail = self.error.detail + addition
        return again


#: By environment. Whoever shares it shares the logins.
Logins: TypeAlias = dict[Environment, Kept]
