"""A secrets backend that stumbles: now and then it raises, which Airflow reports as "no such Connection"."""

import os
import random

from airflow.secrets import BaseSecretsBackend


class Stumbling(BaseSecretsBackend):
    """Has one Connection, in the variable ``STUMBLING_CONNECTION``, and no Variables."""

    def get_conn_value(self, conn_id, *_, **__):
        if random.random() < 0.1:
            raise TimeoutError("the vault does not reply")
        return os.environ["STUMBLING_CONNECTION"] if conn_id == "zilliant_default" else None

    def get_variable(self, key, *_, **__):
        return None

    def get_config(self, key, *_, **__):
        return None
