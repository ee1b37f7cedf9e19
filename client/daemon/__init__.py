"""daemon of the client."""
