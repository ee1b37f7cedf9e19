"""domain of the controller."""
