"""``python -m connector`` is ``ostiary-connector``."""

from connector.cli import main

main()
