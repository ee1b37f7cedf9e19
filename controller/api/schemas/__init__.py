"""What goes over the API, explicitly: nothing reaches an answer that is not a field here (T-10)."""
