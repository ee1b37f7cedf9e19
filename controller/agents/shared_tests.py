"""Tests of destinations by connectors that are attached to any replica (T-17).

A connector that is attached here is asked here. For another one the question goes into the database, the replica that holds
the connector takes it, asks, and puts the answer beside it; notifications only make both of them look sooner than their round
would. Nothing is dialled because of a row alone: the connector judges by its own signed config (T-32).
"""

import asyncio
from typing import Final

import structlog

from controller.agents.destination_tests import DEADLINE_S, DestinationTests
from controller.agents.presence import Presence
from controller.store import Store, asked_tests
from controller.store.asked_tests import AnsweredTest, AskedTest
from protocol.control_codec import encode, parse_message_untrusted
from protocol.control_tests import DestinationTested
from protocol.errors import LocalError, OstiaryError, RefusedError, RemoteProtocolError
from protocol.reasons import Reason, reason_from_code
from runtime.entropy import token_text
from runtime.tasks import TaskScope

ROUND_S: Final = 1.0
"""How late a question or an answer is found when its notification was lost."""
ASKED_MAX: Final = 32
"""Questions of this replica that wait for others."""
SERVED_MAX: Final = 32
"""Questions of others that this replica serves at once; the rest waits, and so becomes too old."""
ANSWER_MAX: Final = 8 * 1024
"""Characters. An answer names sixteen addresses at most."""
PASSING_ON_S: Final = 1.5
"""What both ways through the database may take beside the connector's own time."""

_log = structlog.get_logger(__name__)


class SharedTests:
    """One per process. ``here`` asks the connectors of this replica, which the others know as ``replica``."""

    def __init__(
        self,
        store: Store,
        here: DestinationTests,
        presence: Presence,
        *,
        replica: str,
        deadline_s: float = DEADLINE_S + PASSING_ON_S,
    ) -> None:
        self._store = store
        self._here = here
        self._presence = presence
        self._replica = replica
        self._deadline_s = deadline_s
        self._waiting: dict[str, asyncio.Future[AnsweredTest]] = {}
        self._scope = TaskScope("tests")

    async def ask(self, connector: str, host: str, port: int) -> DestinationTested | None:
        """Returns what happened; None from a connector that is too old to be asked.

        Raises:
            LocalError: UNAVAILABLE when it is attached nowhere, goes away, or nobody answers in time.
            RefusedError: LIMIT_EXCEEDED.
        """
        if self._here.holds(connector) or not self._store.shared:
            return await self._here.ask(connector, host, port)
        if self._presence.agent(connector) is None:
            raise LocalError(Reason.UNAVAILABLE, "the connector is not connected")
        if len(self._waiting) >= ASKED_MAX:
            raise RefusedError(
                Reason.LIMIT_EXCEEDED, f"at most {ASKED_MAX} tests at once by other replicas' connectors"
            )
        return _told(await self._asked(AskedTest(token_text(16), connector, host, port)))

    async def _asked(self, test: AskedTest) -> AnsweredTest:
        answered: asyncio.Future[AnsweredTest] = asyncio.get_running_loop().create_future()
        self._waiting[test.id] = answered
        try:
            async with asyncio.timeout(self._deadline_s):
                async with self._store.transact() as connection:
                    await asked_tests.ask(connection, self._replica, test)
                return await answered
        except TimeoutError as exc:
            raise LocalError(Reason.UNAVAILABLE, "the connector's replica did not answer in time") from exc
        finally:
            del self._waiting[test.id]
            answered.cancel()

    async def run(self) -> None:
        """Serves the other replicas' questions and hears their answers; runs until cancelled."""
        away = False
        async with TaskScope("tests") as self._scope:
            while True:
                try:
                    await self.round()
                    away = False
                except LocalError as error:
                    if error.reason is not Reason.UNAVAILABLE:
                        raise
                    if not away:
                        _log.warning("tests.not_shared", detail=error.detail)
                    away = True
                    await asyncio.sleep(ROUND_S)
                await self._knock()

    async def _knock(self) -> None:
        """Waits for a notification, and no longer than a round."""
        try:
            async with asyncio.timeout(ROUND_S):
                await self._store.knocked.wait()
        except TimeoutError:
            return
        self._store.knocked.clear()

    async def round(self) -> None:
        """Looks once, where there is somebody to look for. Raises LocalError(UNAVAILABLE)."""
        if self._here.any():
            await self._take_questions()
        if self._waiting:
            await self._take_answers()

    async def _take_questions(self) -> None:
        async with self._store.read() as connection:
            asked = await asked_tests.open_questions(connection)
        ours = {test.id: test for test in asked if self._here.holds(test.connector)}
        wanted = list(ours)[: max(0, SERVED_MAX - len(self._scope))]
        if not wanted:
            return
        async with self._store.transact() as connection:
            taken = await asked_tests.take(connection, self._replica, wanted)
        for number in wanted:
            if number in taken:
                self._scope.spawn(self._serve(ours[number]), name="serve", on_crash=_not_served)

    async def _take_answers(self) -> None:
        async with self._store.transact() as connection:
            answers = await asked_tests.collect(connection, self._replica)
        for answered in answers:
            waiting = self._waiting.get(answered.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(answered)

    async def _serve(self, test: AskedTest) -> None:
        """Asks the connector for another replica. Raises LocalError(UNAVAILABLE) when the answer cannot be written."""
        failed, answer = None, None
        try:
            told = await self._here.ask(test.connector, test.host, test.port)
        except OstiaryError as error:
            failed = error.reason.code
        else:
            failed, answer = (Reason.VERSION_UNSUPPORTED.code, None) if told is None else (None, encode(told))
        if answer is not None and len(answer) > ANSWER_MAX:
            _log.warning("tests.answer_too_long", connector=test.connector, characters=len(answer))
            failed, answer = Reason.UNAVAILABLE.code, None
        async with self._store.transact() as connection:
            await asked_tests.answer(connection, self._replica, AnsweredTest(test.id, failed, answer))


def _not_served(error: Exception) -> None:
    """Whoever asked hears in time that nobody answered."""
    if isinstance(error, OstiaryError):
        _log.warning("tests.not_answered", reason=error.reason.code, detail=error.detail)
    else:
        _log.error("tests.crashed", exc_info=error)


def _told(answered: AnsweredTest) -> DestinationTested | None:
    """What another replica wrote, as if it had happened here."""
    if answered.failed == Reason.VERSION_UNSUPPORTED.code:
        return None
    if answered.failed == Reason.LIMIT_EXCEEDED.code:
        raise RefusedError(Reason.LIMIT_EXCEEDED, "too many tests of this connector at once")
    if answered.failed is not None:
        reason = reason_from_code(answered.failed)
        raise LocalError(Reason.UNAVAILABLE, f"the connector did not answer its replica: {reason.code}")
    try:
        message = parse_message_untrusted(answered.answer or "")
    except RemoteProtocolError as exc:
        raise LocalError(Reason.UNAVAILABLE, "another replica wrote what is no answer") from exc
    if not isinstance(message, DestinationTested):
        raise LocalError(Reason.UNAVAILABLE, "another replica wrote what is no answer")
    return message
