"""Sends connection records and audit events to where an organisation keeps its logs (SIEM), at least once each."""
