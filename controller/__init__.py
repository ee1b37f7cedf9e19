"""The control plane: identity, policy as events in SQL, signed snapshots and tokens."""
