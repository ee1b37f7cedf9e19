"""Who may say which verb to the daemon (D9, T-50): the kernel names the asker, this decides."""

import grp
import os
import pwd
from typing import Final

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.status_socket import Peer

VERBS: Final = frozenset(
    {"status", "resources", "explain", "doctor", "logs", "version", "up", "down", "login", "auth", "logout"}
    | {"request", "requests", "withdraw"}
)


def group_id(name: str) -> int | None:
    """Returns the id of the group that may use the daemon; None when the host has no such group."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def check_verb(verb: str, peer: Peer, *, gid: int | None, own_uid: int | None = None) -> None:
    """Admits root, the daemon's own user and members of the group.

    Raises:
        LocalError: INVALID_INPUT for an unknown verb, PERMISSION_DENIED.
    """
    if verb not in VERBS:
        raise LocalError(Reason.INVALID_INPUT, f"unknown verb {verb[:32]!r}")
    own = os.geteuid() if own_uid is None else own_uid
    if peer.uid in (0, own) or (gid is not None and gid in _groups(peer)):
        return
    raise LocalError(Reason.PERMISSION_DENIED, f"uid {peer.uid} is not in the daemon's group")


def may_change_trust(peer: Peer, *, own_uid: int | None = None) -> bool:
    """Whether ``peer`` may choose controller, CA and identity: root, or the user whose own daemon this is (T-56)."""
    own = os.geteuid() if own_uid is None else own_uid
    return peer.uid == 0 or (own != 0 and peer.uid == own)


def _groups(peer: Peer) -> frozenset[int]:
    try:
        name = pwd.getpwuid(peer.uid).pw_name
        return frozenset((peer.gid, *os.getgrouplist(name, peer.gid)))
    except KeyError:
        return frozenset((peer.gid,))
