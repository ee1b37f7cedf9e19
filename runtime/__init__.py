"""The asyncio plumbing that all four parts share."""
