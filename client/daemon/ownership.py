"""Which user of this host the sign-in belongs to: whoever asked for it over the control socket, until he signs out (D9)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from client.daemon.identity import OWNER_FILE
from client.daemon.sign_in import SignInPrompt
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import StateDir


@dataclass(frozen=True, slots=True)
class Asker:
    """Who says a verb that changes the session; its functions are called while nobody else can change it (T-50).

    Attributes:
        prompt: shows where to approve a sign-in.
        may_change: he may choose controller and identity.
        admit: raises LocalError when the session is another user's by the time that the verb's turn has come.
        signed_in: the sign-in is his from here on.
        signed_out: it is nobody's any more.
    """

    prompt: Callable[[SignInPrompt], Awaitable[None]]
    may_change: bool
    admit: Callable[[], None]
    signed_in: Callable[[], None]
    signed_out: Callable[[], None]


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
