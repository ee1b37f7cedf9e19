"""The protocol's version number and its dated history.

``PROTOCOL`` travels in every hello and is signed into every proof of possession. Peers speak the lower of their two
numbers; a peer below ``OLDEST_SUPPORTED`` is refused with ``Reason.VERSION_UNSUPPORTED``.

History:
    1 (2026-11): first version.
"""

PROTOCOL = 1
OLDEST_SUPPORTED = 1
SOFTWARE = "0.1.0"
