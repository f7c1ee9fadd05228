"""Scheduler, triggerer and api-server as processes, through kills and restarts."""
