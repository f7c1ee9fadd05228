"""An embedded Zilliant, to try Dags on without a Zilliant environment: the API in memory, served over HTTP.

``python -m airflow_provider_zilliant.sandbox`` serves it; :class:`Sandbox` runs it inside a test.
"""

from airflow_provider_zilliant.sandbox.server import Sandbox, connection_to

__all__ = ["Sandbox", "connection_to"]
