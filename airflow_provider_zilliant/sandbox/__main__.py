"""``python -m airflow_provider_zilliant.sandbox``: serve an embedded Zilliant until Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import json
import sys

from aiohttp import web

from airflow_provider_zilliant.sandbox.engine import Zilliant
from airflow_provider_zilliant.sandbox.logins import login_connection_to
from airflow_provider_zilliant.sandbox.server import KEEPALIVE, application, connection_to


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_zilliant.sandbox",
        description="An embedded Zilliant, in memory, to try Dags on.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--parallel",
        action="store_true",
        help="run the jobs of a scope one after the other, instead of refusing them with 409",
    )
    parser.add_argument(
        "--refuse-password",
        action="store_true",
        help="refuse every login with user and password, as Salesforce does after it has retired that flow",
    )
    given = parser.parse_args()
    zilliant = Zilliant(parallel=given.parallel, refuse_password=given.refuse_password)
    url = f"http://{given.host}:{given.port}"

    def announce(line: str) -> None:
        if line.startswith("========"):  # aiohttp prints this line once the socket is open
            connection = json.dumps(connection_to(url))
            print(f"Zilliant sandbox at {url}   (open it in a browser to see jobs and scopes; Ctrl-C stops it)\n")
            print("An Airflow Connection to it, for the shell that runs Airflow:\n")
            print(f"  export AIRFLOW_CONN_ZILLIANT_DEFAULT='{connection}'\n")
            print("Or one that logs in, in one of three ways; any names and passwords will do, but only this key:")
            for flow in ("client credentials", "JWT bearer", "user and password"):
                login = json.dumps(login_connection_to(url, flow, zilliant.org))
                refused = "   (refused: --refuse-password)" if given.refuse_password and "password" in flow else ""
                print(f"\n  # {flow}{refused}\n  export AIRFLOW_CONN_ZILLIANT_DEFAULT='{login}'")
            print("\nThe key that belongs to the private key in it, as the sandbox checks signatures:\n")
            print(zilliant.org.public_key, flush=True)

    try:
        web.run_app(
            application(zilliant),
            host=given.host,
            port=given.port,
            keepalive_timeout=KEEPALIVE,
            print=announce,
            access_log=None,
        )
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(f"Port {given.port} of {given.host} is in use; choose another one with --port.")


if __name__ == "__main__":
    main()
