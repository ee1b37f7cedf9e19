"""packet of the client."""
