"""The only place that knows the operating system: TUN device, routes, resolver settings, keys, undo journal. Linux.

Whatever is changed on the host is written to the journal before it is changed, so that it is undone at exit, and at the
next start after a crash (F-14, F-15). What lives and dies with the TUN device (its addresses, its routes, its sysctls)
needs no undoing: the device ends with the process.
"""

from typing import Final

DEVICE: Final = "ostiary0"
ROUTING_TABLE: Final = 29555
RULE_PRIORITY: Final = 5200
SOCKET_MARK: Final = 0x6F73
"""SO_MARK of our own outgoing sockets: they are never routed into our own device (T-53)."""
RULE_CHANGE: Final = "rule"
"""Kind of a journal entry: the routing rule of one IP version."""
NETWORK_MANAGER_CHANGE: Final = "network_manager"
RESOLVCONF_CHANGE: Final = "resolvconf"
"""Journal kinds, here so that taking back needs to load no more than what is to be taken back."""
