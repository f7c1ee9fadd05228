"""A Connection turned into a client."""
