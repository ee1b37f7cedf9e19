"""At which addresses an agent finds its controller: the one that it was given, and those that the controller announces (F-7).

``home`` is the URL of the enrolment or the sign-in. The others come in each Welcome, which only the controller's own
certificate can have said, and stand on disk for the next start. An address is no trust: whoever answers there must show
a certificate for its host name by the same CA as ``home``, and the name in assertions stays that of ``home``.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from protocol.errors import OstiaryError
from protocol.limits import CONTROLLER_URL_MAX, CONTROLLERS_MAX
from runtime.files import StateDir
from runtime.http import check_url

CONTROLLERS_FILE: Final = "controllers.json"
"""Beside the identity; another ``home`` makes it void."""
KEEP_S: Final = 30 * 86400.0
"""Without a word from the controller; then only ``home`` is left, for who has the others by now nobody knows."""
NOTE_EVERY_S: Final = 86400.0
"""That the controller was heard, and nothing else, is written no more often."""

_shuffle = random.SystemRandom().shuffle
_log = structlog.get_logger(__name__)


class Controllers:
    """The addresses, and in which order they are tried: the last good one first, then the others, shuffled (T-18).

    Args:
        home: URL that is always tried.
        others: further ones, checked already.
        last: the one that answered last.
        shuffle: puts a list into a random order.
        keep: is called whenever the controller was heard.
    """

    def __init__(
        self,
        home: str,
        *,
        others: tuple[str, ...] = (),
        last: str | None = None,
        shuffle: Callable[[list[str]], None] = _shuffle,
        keep: "Callable[[Controllers], None] | None" = None,
    ) -> None:
        self.home = home
        self.others = others
        self.last = last if last in others else home
        self._shuffle = shuffle
        self._keep = keep
        self._round: deque[str] = deque()

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them, ``home`` first."""
        return (self.home, *self.others)

    @property
    def hosts(self) -> frozenset[str]:
        """Their host names and addresses."""
        return frozenset(host for url in self.urls if (host := check_url(url).hostname) is not None)

    @property
    def exhausted(self) -> bool:
        """Whether each was tried in this round."""
        return not self._round

    def begin(self) -> None:
        """Begins another round, with the last good one."""
        rest = [url for url in self.urls if url != self.last]
        self._shuffle(rest)
        self._round = deque((self.last, *rest))

    def take(self) -> str:
        """Returns the one to try next; begins another round after the last."""
        if not self._round:
            self.begin()
        return self._round.popleft()

    def answered(self, url: str, announced: Iterable[str]) -> None:
        """``url`` said Welcome and announced these, which are all that count from now on."""
        self.others = usable(self.home, announced)
        self.last = url if url in self.urls else self.home
        self.heard()

    def heard(self) -> None:
        """What was announced still counts."""
        if self._keep is not None:
            self._keep(self)


def usable(home: str, announced: Iterable[str]) -> tuple[str, ...]:
    """Returns what is dialled of an announced list besides ``home``: never with less protection than that has."""
    found: dict[str, None] = {}
    for url in tuple(announced)[:CONTROLLERS_MAX]:
        try:
            scheme = check_url(url).scheme
        except OstiaryError as error:
            _log.warning("controller.address_refused", detail=error.detail[:CONTROLLER_URL_MAX])
            continue
        if len(url) > CONTROLLER_URL_MAX or (scheme != "https" and home.startswith("https:")):
            _log.warning("controller.address_refused", detail=f"{url[:CONTROLLER_URL_MAX]!r} is too long, or not https")
        elif url != home:
            found[url] = None
    return tuple(found)


def load_controllers(state: StateDir, home: str, wall: Callable[[], float]) -> Controllers:
    """Returns what was announced to who has ``home``, if that was lately.

    What cannot be read or written costs no more than the list.

    Args:
        state: holds CONTROLLERS_FILE.
        home: as ``Controllers``.
        wall: Unix seconds.
    """
    others: list[str] = []
    last: str | None = None
    written: tuple[tuple[str, ...], str] | None = None
    noted = 0.0
    try:
        match state.read_json(CONTROLLERS_FILE):
            case {
                "home": str(known),
                "others": list(stored),
                "last": str(answered),
                "heard": int() | float() as heard,
            } if known == home and wall() - heard <= KEEP_S:
                others, last = [url for url in stored if isinstance(url, str)], answered
    except OstiaryError as error:
        _log.warning("controller.addresses_not_read", detail=error.detail)

    def keep(controllers: Controllers) -> None:
        nonlocal written, noted
        now, known = wall(), (controllers.others, controllers.last)
        if known == written and 0 <= now - noted < NOTE_EVERY_S:
            return
        body = {"home": home, "others": list(controllers.others), "last": controllers.last, "heard": int(now)}
        try:
            state.write_json(CONTROLLERS_FILE, body)
            written, noted = known, now
        except OstiaryError as error:
            _log.warning("controller.addresses_not_written", detail=error.detail)

    return Controllers(home, others=usable(home, others), last=last, keep=keep)
