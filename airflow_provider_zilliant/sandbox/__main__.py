"""``python -m airflow_provider_zilliant.sandbox``: serve an embedded Zilliant until Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import json
import sys

from aiohttp import web

from airflow_provider_zilliant.sandbox.engine import Zilliant
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
    given = parser.parse_args()
    url = f"http://{given.host}:{given.port}"

    def announce(line: str) -> None:
        if line.startswith("========"):  # aiohttp prints this line once the socket is open
            connection = json.dumps(connection_to(url))
            print(f"Zilliant sandbox at {url}   (open it in a browser to see jobs and scopes; Ctrl-C stops it)\n")
            print("An Airflow Connection to it, for the shell that runs Airflow:\n")
            print(f"  export AIRFLOW_CONN_ZILLIANT_DEFAULT='{connection}'\n")
            login = {**connection_to(url), "login": "anyone", "password": "anything"}
            login["extra"] |= {"client_id": "any", "client_secret": "any", "login_url": url}
            print("Or one that logs in (any user and password will do):\n")
            print(f"  export AIRFLOW_CONN_ZILLIANT_DEFAULT='{json.dumps(login)}'\n", flush=True)

    try:
        web.run_app(
            application(Zilliant(parallel=given.parallel)),
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
