"""Airflow provider for Zilliant: job workflows as tasks, submitted once and waited for without a worker."""

__version__ = "0.1.0"
