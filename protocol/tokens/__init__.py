"""Strict JWS tokens: one class per kind, one verifier (design section 3)."""
