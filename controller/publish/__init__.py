"""publish of the controller."""
