"""Who may reach what: one model and one decision function for everybody."""
