"""store of the controller."""
