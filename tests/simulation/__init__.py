"""Whole lives of tasks in virtual time: real operator, triggers, client and sandbox in a model of Airflow."""
