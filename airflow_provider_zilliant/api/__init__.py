"""Zilliant's protocol: no I/O, no Airflow, no clock.

Requests are values that a transport sends, replies are values that it brings back;
every rule of the API stands here once, for the worker and for the triggerer alike.
"""
