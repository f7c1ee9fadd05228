"""What is shipped: the wheel and the sdist, what they declare, and where they install."""
