"""cli of the controller."""
