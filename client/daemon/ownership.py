"""Which user of this host the sign-in belongs to: whoever asked for it over the control socket, until he signs out (D9)."""

from typing import Final

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import StateDir

OWNER_FILE: Final = "owner.json"


class Ownership:
    """The owner's uid, kept over restarts. Every method may raise LocalError as StateDir does."""

    def __init__(self, state: StateDir) -> None:
        self._state = state

    def uid(self) -> int | None:
        """Returns who owns the sign-in; None while nobody does.

        Raises:
            LocalError: STATE_CORRUPT. It is not taken for "nobody": that would let others in.
        """
        match self._state.read_json(OWNER_FILE):
            case None:
                return None
            case {"uid": int(uid)} if uid >= 0:
                return uid
        raise LocalError(Reason.STATE_CORRUPT, str(self._state / OWNER_FILE))

    def take(self, uid: int) -> None:
        """``uid`` has signed in: the sign-in is his. What root signs in without saying for whom is the group's."""
        if uid == 0:
            self.give_up()
        elif self.uid() != uid:
            self._state.write_json(OWNER_FILE, {"uid": uid})

    def give_up(self) -> None:
        """Nobody owns it any more."""
        self._state.remove(OWNER_FILE)
