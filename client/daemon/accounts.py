"""Several sign-ins on one host, one of them active: another company's controller, or another user of the same one.

Each has a directory of its own with everything that ``client.daemon.identity`` keeps, its device key and its owner included, so
that nothing of one is ever shown to another's controller. The first one lives in the state directory itself and is called
``default``; the others below ``accounts/``. Which one is active is one small file, replaced atomically.
"""

import re
import shutil
from collections.abc import Mapping
from typing import Any, Final

from client.daemon.access_control import may_change_trust
from client.daemon.identity import IdentityStore
from client.daemon.ownership import Ownership
from client.daemon.session import Session
from client.daemon.verbs import Verb
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import StateDir
from runtime.status_socket import Emit, Peer

ACTIVE_FILE: Final = "account.json"
FOLDER: Final = "accounts"
DEFAULT: Final = "default"
ACCOUNTS_MAX: Final = 16
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class Accounts:
    """All accounts of this host. ``store`` always is the active one's.

    Args:
        root: the daemon's state directory.

    Raises:
        LocalError: STATE_CORRUPT when it cannot be told which account is active.
    """

    def __init__(self, root: StateDir) -> None:
        self.root = root
        self.active = _read_active(root)
        self.store = IdentityStore(self._directory(self.active))
        self.store.state.ensure()

    def owner(self) -> Ownership:
        """Whose the active sign-in is."""
        return Ownership(self.store.state)

    def shown(self) -> list[dict[str, Any]]:
        """As ``accounts`` has it."""
        return [self._shown(name) for name in self._names()]

    def verbs(self, session: Session) -> dict[str, Verb]:
        """Returns the control socket's verbs ``accounts`` and ``switch``."""

        async def accounts(_args: Mapping[str, Any], _peer: Peer, _emit: Emit) -> Mapping[str, Any]:
            return {"accounts": self.shown()}

        async def switch(args: Mapping[str, Any], peer: Peer, _emit: Emit) -> Mapping[str, Any]:
            name, new, remove = args.get("account"), args.get("new", False), args.get("remove", False)
            if not isinstance(name, str) or not isinstance(new, bool) or not isinstance(remove, bool):
                raise LocalError(Reason.INVALID_INPUT, "account is a text, new and remove are true or false")
            if new or remove:
                if not may_change_trust(peer):
                    raise LocalError(Reason.NEEDS_ROOT, "only root makes or removes accounts")
                if remove:
                    self._remove(name)
                else:
                    self._create(name)
            if not remove:

                def admit() -> None:
                    # Somebody may have signed in here while others had the session.
                    self._check_owner(self.active, peer)
                    self._check(name, peer)

                admit()
                await session.reopen(admit, lambda: self._use(name))
            return {"accounts": self.shown()}

        return {"accounts": accounts, "switch": switch}

    def _check(self, name: str, peer: Peer) -> None:
        """Raises LocalError unless ``peer`` may make ``name`` active: it may be another user's sign-in (T-50)."""
        if name not in self._names():
            raise LocalError(Reason.NOT_FOUND, f"no account is called {name[:40]!r}; `ostiary accounts` lists them")
        self._check_owner(name, peer)
        directory = self._directory(name)
        # Damaged files are told now, while the old account still works.
        IdentityStore(directory).controller()
        IdentityStore(directory).identity()

    def _check_owner(self, name: str, peer: Peer) -> None:
        owner = Ownership(self._directory(name)).uid()
        if owner is not None and peer.uid != owner and not may_change_trust(peer):
            raise LocalError(Reason.PERMISSION_DENIED, f"the account {name!r} is another user's")

    def _use(self, name: str) -> None:
        self.root.write_json(ACTIVE_FILE, {"account": name})
        self.active = name
        self.store.state = self._directory(name)

    def _create(self, name: str) -> None:
        if _NAME.fullmatch(name) is None:
            wanted = "a name is 1 to 32 of a-z, 0-9, - and _"
            raise LocalError(Reason.INVALID_INPUT, f"{name[:40]!r}: {wanted}")
        known = self._names()
        if name in known:
            raise LocalError(Reason.ALREADY_EXISTS, f"the account {name!r}")
        if len(known) >= ACCOUNTS_MAX:
            raise LocalError(Reason.LIMIT_EXCEEDED, f"{ACCOUNTS_MAX} accounts")
        self._directory(name).ensure()

    def _remove(self, name: str) -> None:
        if name not in self._names():
            raise LocalError(Reason.NOT_FOUND, f"no account is called {name[:40]!r}")
        if name == self.active or name == DEFAULT:
            why = "it is active: switch to another one first" if name == self.active else "it cannot be removed"
            raise LocalError(Reason.IN_USE, f"{name!r}: {why}")
        shutil.rmtree(self._directory(name).path)

    def _directory(self, name: str) -> StateDir:
        return _directory(self.root, name)

    def _names(self) -> list[str]:
        return _names(self.root)

    def _shown(self, name: str) -> dict[str, Any]:
        directory = self._directory(name)
        body: dict[str, Any] = {"account": name, "active": name == self.active, "controller": None, "user": None}
        try:
            store = IdentityStore(directory)
            controller, identity = store.controller(), store.identity()
        except LocalError as error:
            return body | {"signed_in": False, "reason": error.reason.code}
        return body | {
            "controller": None if controller is None else controller.url,
            "user": None if identity is None else identity.user_name or identity.user,
            "signed_in": identity is not None and identity.signed_in,
        }


def directories(root: StateDir) -> list[StateDir]:
    """The directories of all accounts; ``root``'s is the first."""
    return [_directory(root, name) for name in _names(root)]


def active_directory(root: StateDir) -> StateDir:
    """The active account's directory. Raises LocalError(STATE_CORRUPT)."""
    return _directory(root, _read_active(root))


def _read_active(root: StateDir) -> str:
    match root.read_json(ACTIVE_FILE):
        case None:
            return DEFAULT
        case {"account": str(name)} if name in _names(root):
            return name
    raise LocalError(Reason.STATE_CORRUPT, str(root / ACTIVE_FILE))


def _directory(root: StateDir, name: str) -> StateDir:
    return root if name == DEFAULT else StateDir(root.path / FOLDER / name)


def _names(root: StateDir) -> list[str]:
    folder = root.path / FOLDER
    found = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [DEFAULT, *(name for name in found if _NAME.fullmatch(name) and name != DEFAULT)]
