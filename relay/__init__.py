"""The blind meeting point: pairs a client with a connector and copies opaque bytes."""
