"""Waiting for jobs that others submitted."""
