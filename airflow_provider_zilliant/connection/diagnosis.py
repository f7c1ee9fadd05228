"""What the connection form's Test button says: whether a Connection works and, if not, which part is wrong."""

from __future__ import annotations

import uuid

from airflow_provider_zilliant.api.client import Client
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.token import Token
from airflow_provider_zilliant.exceptions import (
    ZilliantAuthError,
    ZilliantError,
    ZilliantNotFoundError,
)

#: The steps, in their order. A message that names one says that those before it went well.
FIELDS, LOGIN, TOKEN, REPLY = (
    "Step 1 of 4, the fields",
    "Step 2 of 4, the login",
    "Step 3 of 4, the token",
    "Step 4 of 4, Zilliant's reply",
)


async def diagnose(client: Client) -> tuple[bool, str]:
    """Goes through the Connection step by step, and asks for a random job: a 404 means that all is right.

    :return: whether the Connection works, and which step failed. Never a secret: Airflow 3.3 shows the
        text unmasked.
    """
    try:
        environment = await client.environment()
    except ZilliantError as error:
        # The form tests under an id made up for the test. Naming it would only puzzle the reader.
        return False, f"{FIELDS}: {error.detail}"
    try:
        # A person waits for the outcome, perhaps after a change in Salesforce: no login of before will do.
        token = await client.token_of_new_login()
    except ZilliantError as error:
        note = environment.login.note if environment.login else ""
        told = f"{LOGIN}: {error}"
        return False, told if note in told else f"{told} {note}"
    works, told = await _ask(client, environment, token)
    if environment.login is None:
        return works, told
    with_login = f"{told} The login at {environment.login.url} with {environment.login.flow} worked."
    return works, f"{with_login} {environment.login.note}".rstrip()


async def _ask(client: Client, environment: Environment, token: Token | None) -> tuple[bool, str]:
    try:
        await client.poll(str(uuid.uuid4()))
    except ZilliantNotFoundError as error:
        page = " It replied with an HTML page: make sure that Host is Zilliant's API." if error.is_page else ""
        return True, f"{environment.base_url} accepts this connection.{page}"
    except ZilliantAuthError as error:
        if error.is_login:
            return False, f"{LOGIN}: {error}"
        return False, _explain_refusal(environment, token, error)
    except ZilliantError as error:
        return False, f"{REPLY}: asking for a job that does not exist, {error.detail}"
    return (
        False,
        f"{REPLY}: {environment.base_url} knows a job that does not exist: make sure that Host is Zilliant's API.",
    )


def _explain_refusal(environment: Environment, token: Token | None, error: ZilliantAuthError) -> str:
    """Zilliant's 401 gives no reason, but the Connection itself narrows it down."""
    refused = f"{environment.base_url} replied {error.status_code} to these credentials. "
    if error.status_code == 403:
        return f"{REPLY}: {refused}They are valid but not authorized to see jobs; check the user's rights in Zilliant."
    if token is None:
        return f"{TOKEN}: {refused}Password is empty, and so is Extra client_id: enter a token response or a login."
    if token.warning is not None:
        return f"{TOKEN}: {refused}{token.warning}"
    if environment.oauth_host is None:
        belongs = f"; the token belongs to {token.oauth_host}" if token.oauth_host else ""
        return (
            f"{TOKEN}: {refused}Extra oauth_host is empty, but Zilliant requires it from outside its network{belongs}."
        )
    if token.oauth_host is not None and token.oauth_host != environment.oauth_host:
        return (
            f"{TOKEN}: {refused}Extra oauth_host is {environment.oauth_host}, but the token belongs to "
            f"{token.oauth_host}: one of the two is from another environment."
        )
    causes = "The token is well-formed and matches Extra oauth_host, so it has probably expired or been revoked, or it "
    if environment.login is not None:
        causes = (
            f"The token is new and matches Extra oauth_host. Perhaps Zilliant does not take tokens of the flow "
            f"{environment.login.flow} (it documents user and password only): ask Zilliant. Or the token "
        )
    return (
        f"{REPLY}: {refused}{causes}belongs to a different environment than Host. The domain of Host must be a "
        'Host_Name in that environment\'s "Zilliant SSO Configuration".'
    )
