"""The Airflow Connection of type ``zilliant``: its form, its fields, its reading, and its test."""
