"""What the connection form's Test button says: whether a Connection works and, if not, which part is wrong."""

from __future__ import annotations

import uuid

from airflow_provider_zilliant.api.client import Client
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.exceptions import (
    ZilliantAuthError,
    ZilliantConfigError,
    ZilliantError,
    ZilliantNotFoundError,
)


async def diagnose(client: Client) -> tuple[bool, str]:
    """Asks for a random job: a 404 means that address, token and OAuth host are right.

    :return: whether the Connection works and, if not, which part is wrong. Never a secret: Airflow 3.3 shows the
        text unmasked.
    """
    try:
        environment = await client.environment()
    except ZilliantError as error:
        # The form tests under an id made up for the test. Naming it would only puzzle the reader.
        return False, error.detail
    try:
        await client.poll(str(uuid.uuid4()))
    except ZilliantNotFoundError as error:
        page = " It replied with an HTML page: make sure that Host is Zilliant's API." if error.is_page else ""
        return True, f"{environment.base_url} accepts this connection.{page}"
    except ZilliantAuthError as error:
        if error.is_login:
            return False, str(error)
        return False, await _explain_refusal(client, environment, error)
    except ZilliantConfigError as error:
        return False, error.detail
    except ZilliantError as error:
        return False, f"Asking Zilliant for a job that does not exist: {error.detail}"
    return False, f"{environment.base_url} knows a job that does not exist: make sure that Host is Zilliant's API."


async def _explain_refusal(client: Client, environment: Environment, error: ZilliantAuthError) -> str:
    """Zilliant's 401 gives no reason, but the Connection itself narrows it down."""
    refused = f"{environment.base_url} replied {error.status_code} to these credentials. "
    token = await client.token()
    if error.status_code == 403:
        return refused + "They are valid but not authorized to see jobs; check the user's rights in Zilliant."
    if token is None:
        return refused + "Password is empty, and so is Extra client_id: enter a token response or a login."
    if token.warning is not None:
        return refused + token.warning
    if environment.oauth_host is None:
        return refused + (
            "Extra oauth_host is empty, but Zilliant requires it from outside its network"
            + (f"; the token belongs to {token.oauth_host}." if token.oauth_host else ".")
        )
    if token.oauth_host is not None and token.oauth_host != environment.oauth_host:
        return refused + (
            f"Extra oauth_host is {environment.oauth_host}, but the token belongs to {token.oauth_host}: one of "
            "the two is from another environment."
        )
    return refused + (
        "The token is well-formed and matches Extra oauth_host, so it has probably expired or been revoked, or it "
        "belongs to a different environment than Host."
    )
