"""core of the client."""
