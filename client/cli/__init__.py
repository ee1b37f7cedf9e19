"""cli of the client."""
