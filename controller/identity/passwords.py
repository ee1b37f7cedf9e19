"""Passwords: argon2id, off the event loop, with a bound on how many run at once (T-11, F-29).

One verification takes tens of milliseconds and 64 MiB on purpose. It runs in a pool of its own, so that a flood of
sign-ins waits here instead of stalling the loop; above ``QUEUE_MAX`` waiting it is refused at once (D10).
"""

import asyncio
import secrets
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.low_level import ARGON2_VERSION

from protocol.errors import RefusedError
from protocol.reasons import Reason

PASSWORD_MIN: Final = 12
"""Characters (NIST SP 800-63B: length, not composition)."""
PASSWORD_MAX: Final = 256
CONCURRENCY: Final = 2
QUEUE_MAX: Final = 64
DEADLINE_S: Final = 10.0

_GENERATED_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without the characters that people confuse."""


class Passwords:
    """Hashes and verifies. ``await``s never block the loop; ``close`` ends the threads.

    Args:
        hasher: the argon2 parameters; the library's default is RFC 9106's low-memory profile.
        concurrency: verifications that run at the same time.
    """

    def __init__(self, hasher: PasswordHasher | None = None, *, concurrency: int = CONCURRENCY) -> None:
        self._hasher = hasher or PasswordHasher()
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="argon2")
        self._waiting = 0
        # Verified against when there is no such user, so that both cases take the same work.
        self._decoy = _decoy(self._hasher)

    async def hash(self, password: str) -> str:
        """Returns the PHC string to store. Raises RefusedError(UNAVAILABLE) when too many wait."""
        return str(await self._run(partial(self._hasher.hash, password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tells whether ``password`` belongs to the hash ``stored``; None (no such account) costs the same.

        Raises:
            RefusedError: UNAVAILABLE when too many wait or it took too long.
        """
        if len(password) > PASSWORD_MAX:
            password = ""
        right = bool(await self._run(partial(self._matches, stored or self._decoy, password)))
        return right and stored is not None

    def needs_rehash(self, stored: str) -> bool:
        """Tells whether ``stored`` was made with other parameters than those in force."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Ends the threads; what still runs is left to finish."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False

    async def _run(self, call: "partial[str] | partial[bool]") -> str | bool:
        if self._waiting >= QUEUE_MAX:
            raise RefusedError(Reason.UNAVAILABLE, "too many sign-ins at once")
        self._waiting += 1
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except TimeoutError as exc:
            raise RefusedError(Reason.UNAVAILABLE, "too many sign-ins at once") from exc
        finally:
            self._waiting -= 1


def _decoy(hasher: PasswordHasher) -> str:
    """A hash of no password, with the parameters in force: making a real one would cost each start what a sign-in costs."""
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, tag = (
        b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2{hasher.type.name.lower()}$v={ARGON2_VERSION}${cost}${salt}${tag}"


def check_new_password(password: str, *, email: str = "") -> None:
    """Raises RefusedError(INVALID_INPUT) when ``password`` must not be set: too short, too long or too simple."""
    if len(password) < PASSWORD_MIN:
        raise RefusedError(Reason.INVALID_INPUT, f"a password has at least {PASSWORD_MIN} characters")
    if len(password) > PASSWORD_MAX:
        raise RefusedError(Reason.INVALID_INPUT, f"a password has at most {PASSWORD_MAX} characters")
    if len(set(password)) < 5:
        raise RefusedError(Reason.INVALID_INPUT, "a password needs at least five different characters")
    if email and password.lower() in {email.lower(), email.split("@", maxsplit=1)[0].lower()}:
        raise RefusedError(Reason.INVALID_INPUT, "a password is not the e-mail address")


def generate_password() -> str:
    """Returns a password of 20 characters in groups of five (about 99 bits)."""
    groups = ("".join(secrets.choice(_GENERATED_ALPHABET) for _ in range(5)) for _ in range(4))
    return "-".join(groups)
