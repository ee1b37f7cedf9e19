"""Who may say which verb to the daemon (D9, T-50): the kernel names the asker (SO_PEERCRED), this decides.

    read    look, change nothing                 root, the daemon's own user, the group
    use     speak or change in the user's name   root, the daemon's own user, who signed in here; while nobody has: the group

Controller, CA, identity and accounts are chosen by root, or for a user's own daemon by that user (``may_change_trust``): some
verbs ask for that besides, depending on what they are told.

Who signed in on a host of several users owns the sign-in until he signs out: the others of the group see how the client is,
but neither end his session nor ask for access in his name.
"""

import grp
import os
import pwd
from enum import Enum
from typing import Final

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.status_socket import Peer


class Right(Enum):
    """What a verb needs."""

    READ = "read"
    USE = "use"


RIGHTS: Final[dict[str, Right]] = {
    "status": Right.READ,
    "resources": Right.READ,
    "explain": Right.READ,
    "requests": Right.READ,
    "doctor": Right.READ,
    "dns_status": Right.READ,
    "dns_query": Right.READ,
    "dns_reset": Right.USE,
    "ping": Right.READ,
    "forward": Right.USE,
    "netcheck": Right.READ,
    "logs": Right.READ,
    "events": Right.READ,
    "version": Right.READ,
    "accounts": Right.READ,
    "switch": Right.USE,
    "get": Right.READ,
    "set": Right.USE,
    "up": Right.USE,
    "down": Right.USE,
    "login": Right.USE,
    "auth": Right.USE,
    "logout": Right.USE,
    "request": Right.USE,
    "withdraw": Right.USE,
}
"""Every verb of the control socket."""


def group_id(name: str) -> int | None:
    """Returns the id of the group that may use the daemon; None when the host has no such group."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def check_verb(verb: str, peer: Peer, *, gid: int | None, owner: int | None = None, own_uid: int | None = None) -> None:
    """Admits ``peer`` to ``verb``, or not.

    Args:
        verb: one of RIGHTS.
        peer: who asks, according to the kernel.
        gid: the group that may use the daemon; None: nobody but root and the daemon's own user.
        owner: the uid that signed in here; None while nobody has.
        own_uid: the daemon's; by default this process's.

    Raises:
        LocalError: INVALID_INPUT for an unknown verb, PERMISSION_DENIED.
    """
    right = RIGHTS.get(verb)
    if right is None:
        raise LocalError(Reason.INVALID_INPUT, f"unknown verb {verb[:32]!r}")
    own = os.geteuid() if own_uid is None else own_uid
    if peer.uid in (0, own):
        return
    if gid is None or gid not in _groups(peer):
        raise LocalError(Reason.PERMISSION_DENIED, f"uid {peer.uid} is not in the daemon's group")
    if right is Right.USE and owner is not None and peer.uid != owner:
        raise LocalError(Reason.PERMISSION_DENIED, f"{_user_name(owner)} is signed in on this host, and you are not")


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


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
