"""host of the client."""
