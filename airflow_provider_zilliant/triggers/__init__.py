"""Waiting and polling in the triggerer, never submitting."""
