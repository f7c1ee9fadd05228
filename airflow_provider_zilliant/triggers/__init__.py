"""Waiting and looking in the triggerer, never submitting."""
