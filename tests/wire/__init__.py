"""Hook, triggers and sandbox on real sockets."""
