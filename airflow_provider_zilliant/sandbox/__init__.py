"""An embedded Zilliant: the API in memory and on a socket, to try Dags on with no Zilliant environment.

``python -m airflow_provider_zilliant.sandbox`` serves it; :class:`Sandbox` embeds it in a test.
"""

from airflow_provider_zilliant.sandbox.server import Sandbox, connection_to

__all__ = ["Sandbox", "connection_to"]
