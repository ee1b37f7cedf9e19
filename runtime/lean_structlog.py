"""Loads structlog without rich: imported for that by what runs long, before anything else there imports structlog.

structlog loads rich for stacks that are never printed in that way here (``runtime.logging``), and that is half of what
structlog costs a start. Whoever else wants rich afterwards gets it.
"""

import sys

if "structlog" not in sys.modules and "rich" not in sys.modules:
    # Python's own word for "as if it were not installed".
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog.dev  # noqa: F401
    finally:
        del sys.modules["rich"]
