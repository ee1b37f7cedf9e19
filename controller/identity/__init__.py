"""identity of the controller."""
