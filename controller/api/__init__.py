"""api of the controller."""
