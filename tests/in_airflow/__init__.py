"""Operators and sensor in a real Airflow, by ``dag.test()``, and every code block of the documentation."""
