"""The enforcement point inside a private network."""
