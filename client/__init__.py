"""The daemon and the commands on a user's host."""
