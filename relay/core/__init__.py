"""core of the relay."""
