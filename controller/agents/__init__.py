"""agents of the controller."""
