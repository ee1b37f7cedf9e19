"""core of the connector."""
