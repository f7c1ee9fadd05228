"""The provider as people meet it: in Airflow's UI, in a real browser."""
