"""The rules: no socket, no Airflow, time under control."""
