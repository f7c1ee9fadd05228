"""The wire: how a request leaves this machine, and what it brings back."""
