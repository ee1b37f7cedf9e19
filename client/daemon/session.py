"""Signed in or not, up or down: the life of one identity's link and tunnels, and the verbs that change it (D9; T-56)."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import structlog

from client.daemon import network_watch, renewal
from client.daemon.captive import CaptiveWatch
from client.daemon.control import ControlLink
from client.daemon.denials import Denials
from client.daemon.gateway import Gateway
from client.daemon.identity import WATERMARK_FILE, Controller, Identity, IdentityStore
from client.daemon.known import Known
from client.daemon.ownership import Asker
from client.daemon.policy import Newest, Policy
from client.daemon.posture import Posture
from client.daemon.prewarm import Prewarmer
from client.daemon.sign_in import SignIn, find_controller
from client.daemon.tunnels import Tunnels
from client.daemon.up_arguments import parse_up
from client.host.keys import load_or_create_key, remove_key
from protocol.control import Welcome
from protocol.enrolment import EnrolmentToken
from protocol.errors import LocalError, RefusedError
from protocol.ids import SpkiPin
from protocol.reasons import Reason
from protocol.tokens.keys import VerificationKeys
from runtime.controller_clock import ControllerClock
from runtime.controllers import load_controllers
from runtime.http import check_url
from runtime.tasks import TaskScope, cancel_and_wait

TICK_S: Final = 1.0
CONNECTING_S: Final = 8.0
"""A controller that is not there for this long is called away, not "connecting"."""
_POLL_S: Final = 0.05
_HOPELESS: Final = frozenset({Reason.CERTIFICATE_UNTRUSTED, Reason.PIN_MISMATCH, Reason.VERSION_UNSUPPORTED})
"""Waiting does not help against these."""

_log = structlog.get_logger(__name__)


class Session:
    """One per daemon.

    Args:
        store: files.
        policy: what is in force.
        gateway: is given the tunnels.
        denials: learns of each change of the state.
        clock: is set by the controller's.
        scope: owns the link's task.
        sock_mark: SO_MARK of our sockets.
    """

    def __init__(
        self,
        store: IdentityStore,
        policy: Policy,
        gateway: Gateway,
        denials: Denials,
        clock: ControllerClock,
        scope: TaskScope,
        *,
        sock_mark: int | None,
    ) -> None:
        self.controller: Controller | None = None
        self.identity: Identity | None = None
        self.link: ControlLink | None = None
        self.user_name = ""
        self.captive: CaptiveWatch | None = None
        """Looks for a sign-in page between us and the controller while that is away."""
        self._store = store
        self._policy = policy
        self._gateway = gateway
        self._denials = denials
        self._clock = clock
        self._scope = scope
        self._mark = sock_mark
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._began = clock.monotonic()
        self._known = Known(clock.monotonic)
        self.notice = renewal.Notice(clock)
        self._state = ""
        self._state_since = clock.base.wall()

    # What it is

    @property
    def state(self) -> str:
        """In one word, for ``status``."""
        state = self._judge()
        if state != self._state:
            self._state, self._state_since = state, self._clock.base.wall()
            self._denials.activity.state(state)
        return state

    @property
    def active(self) -> bool:
        """Whether this host's traffic is ours to look at: a controller is known and we are not down."""
        return self.controller is not None and self.controller.enabled

    @property
    def since(self) -> float:
        """Since when (Unix seconds)."""
        _ = self.state
        return self._state_since

    def _judge(self) -> str:
        if self.controller is None:
            return "not_configured"
        if not self.controller.enabled:
            return "down"
        if self.identity is None or not self.identity.signed_in:
            return "sign_in_required"
        link = self.link
        if link is not None and link.connected:
            return "online" if self._policy.current is not None else "connecting"
        if self.captive is not None and self.captive.found is not None:
            return "offline"
        return "connecting" if self._clock.monotonic() - self._began < CONNECTING_S else "offline"

    # Verbs

    async def start(self) -> None:
        """Takes up what an earlier run left. Raises LocalError for damaged files."""
        self.controller = self._store.controller()
        self.identity = self._store.identity()
        if self.identity is not None:
            self._gateway.records.adopt(self.identity.device, self.identity.user)
        await self._policy.changed()
        await self._reconnect()

    async def up(self, args: Mapping[str, Any], asker: Asker) -> None:
        """Comes up: with another controller if ``args`` name one, after a sign-in if one is needed.

        Raises:
            OstiaryError: NEEDS_ROOT when ``asker`` may not change what is to change; what sign-in and controller say.
        """
        token, url, pin = parse_up(args)
        async with self._lock:
            asker.admit()
            await self._choose_controller(url, pin, may_change=asker.may_change)
            if token is not None and not asker.may_change:
                raise LocalError(Reason.NEEDS_ROOT, "an enrolment token changes who this host is")
            if self.controller is None:
                raise LocalError(Reason.CONFIG_INVALID, "no controller is known yet: name its URL")
            if not self.controller.enabled:
                self.controller = replace(self.controller, enabled=True)
                self._store.store_controller(self.controller)
                await self._policy.changed()
            if token is not None or self.identity is None or not self.identity.signed_in:
                await self._sign_in(self.controller, token, asker)
            if self._task is None:
                await self._reconnect()
        await self.wait_online()

    async def login(self, asker: Asker) -> None:
        """Signs in again, also when a session lives: then what is open stays open if it is the same person's."""
        async with self._lock:
            asker.admit()
            if self.controller is None:
                raise LocalError(Reason.CONFIG_INVALID, "no controller is known yet: run `ostiary up URL`")
            if self.identity is not None and self.identity.service:
                raise LocalError(Reason.INVALID_INPUT, "a service account signs in by its key; there is nothing to do")
            if not await self._sign_in(self.controller, None, asker):
                self.controller = replace(self.controller, enabled=True)
                self._store.store_controller(self.controller)
                await self._policy.changed()
                await self._reconnect()
        await self.wait_online()

    async def extend(self, args: Mapping[str, Any], asker: Asker) -> None:
        """The verb ``auth``. Raises OstiaryError as ``login``."""
        await renewal.extend(self, args, asker, self._clock.wall())

    async def down(self, asker: Asker) -> None:
        """Ends everything until ``up``; the host's own network serves every destination."""
        async with self._lock:
            asker.admit()
            if self.controller is not None and self.controller.enabled:
                self.controller = replace(self.controller, enabled=False)
                self._store.store_controller(self.controller)
            await self._disconnect(Reason.SHUTTING_DOWN)
            self._policy.forget()
            await self._policy.changed()

    async def logout(self, asker: Asker) -> None:
        """Ends the session, here and at the controller."""
        async with self._lock:
            asker.admit()
            if self.link is not None:
                await self.link.sign_out()
            self._end_standing(Reason.SESSION_ENDED)
            await self._disconnect(Reason.SESSION_ENDED)
            asker.signed_out()

    async def reopen(self, admit: Callable[[], None], change: Callable[[], None]) -> None:
        """Ends everything, lets ``change`` name other files, and starts with what they say. Raises LocalError as ``start``."""
        async with self._lock:
            admit()
            await self._disconnect(Reason.SESSION_ENDED)
            self._policy.forget()
            self._denials.forget()
            change()
            await self.start()

    async def stop(self) -> None:
        """The daemon ends: says goodbye."""
        if self.link is not None:
            self._policy.end_flows(Reason.SHUTTING_DOWN)
            await self._gateway.records.flush()
            await self.link.say_goodbye()
        await self._disconnect(Reason.SHUTTING_DOWN)

    async def wait_online(self) -> None:
        """Waits until the policy is in force; the asker's patience is the deadline.

        Raises:
            OstiaryError: what makes waiting useless.
        """
        while self.state != "online":
            link = self.link
            if self.state in ("sign_in_required", "not_configured", "down"):
                raise RefusedError(Reason.SIGN_IN_REQUIRED, f"the client is {self.state} again")
            error = None if link is None else link.state.error
            if self.captive is not None and self.captive.found is not None:
                raise self.captive.found
            if error is not None and error.reason in _HOPELESS:
                raise error
            await asyncio.sleep(_POLL_S)

    # Inside

    async def _choose_controller(self, url: str | None, pin: SpkiPin | None, *, may_change: bool) -> None:
        """Trusts another controller; everything of the old one is wiped (D9, T-56)."""
        known = self.controller
        if url is None or (known is not None and known.url == url and pin in (None, known.pin)):
            return
        if not may_change:
            raise LocalError(Reason.NEEDS_ROOT, "only root may choose the controller")
        found = await find_controller(url, pin, sock_mark=self._mark)
        await self._disconnect(Reason.SESSION_ENDED)
        self._policy.forget()
        self._denials.forget()
        self._store.wipe()
        remove_key(self._store.state.path)
        self.identity = None
        self._store.store_controller(found)
        self.controller = found
        await self._policy.changed()
        _log.info("controller.chosen", url=found.url, pin=found.pin)

    async def _sign_in(self, controller: Controller, token: EnrolmentToken | None, asker: Asker) -> bool:
        """Signs in; True: the sign-in that was there only lasts longer now, and nothing was interrupted."""
        key = load_or_create_key(self._store.state.path)
        sign_in = SignIn(controller, key, self._clock, sock_mark=self._mark)
        if token is not None:
            identity = await sign_in.by_token(token)
        else:
            identity = await sign_in.by_device_code(asker.prompt)
        if self.identity is not None and identity.issuer != self.identity.issuer:
            # Another controller behind the same URL and trust: its revisions begin anew.
            self._store.state.remove(WATERMARK_FILE)
        identity = replace(identity, session_began=int(self._clock.wall()))
        extended = self._task is not None and renewal.is_same_standing(self.identity, identity)
        if extended and self.identity is not None:
            identity = replace(identity, user_name=self.identity.user_name)
        else:
            await self._disconnect(Reason.SESSION_ENDED)
        asker.signed_in()
        self._store.store_identity(identity)
        self.identity = identity
        _log.info("signed_in", device=identity.device, user=identity.user, extended=extended)
        if not extended:
            await self._reconnect()
        return extended

    async def _reconnect(self) -> None:
        await self._disconnect(Reason.SESSION_ENDED)
        controller, identity = self.controller, self.identity
        if controller is None or not controller.enabled:
            self._policy.block(None)
            return
        if identity is None or not identity.signed_in:
            self._policy.block(Reason.SIGN_IN_REQUIRED)
            return
        self._policy.block(None)
        self._began = self._clock.monotonic()
        self._task = self._scope.spawn_supervised(lambda: self._live(controller, identity), name="session")

    async def _disconnect(self, reason: Reason) -> None:
        task = self._task
        if task is not None:
            self._policy.end_flows(reason)
            await cancel_and_wait(task)  # whoever comes while it ends waits as well
            self._task = None if self._task is task else self._task

    async def _live(self, controller: Controller, identity: Identity) -> None:
        """One identity's link and tunnels, until it is cancelled."""
        key = load_or_create_key(self._store.state.path)
        known = self._known = self._known.for_identity(identity)
        newest = Newest()  # this link's alone: what waits in it was verified for its identity
        link = ControlLink(
            controller,
            identity,
            key,
            self._clock,
            hostname=socket.gethostname()[:255],
            enforced=lambda: self._policy.enforced,
            on_snapshot=newest.put,
            on_keys=self._keys_arrived,
            on_change=lambda: None,
            on_standing=self._standing_lost,
            flow_count=lambda: (len(self._policy.flows), 0 if tunnels is None else len(tunnels.live)),
            sock_mark=self._mark,
            known=load_controllers(self._store.state, controller.url, self._clock.wall),
            resolved=known.addresses,
        )
        tunnels: Tunnels | None = None
        if self._policy.load(link.verify_snapshot):
            await self._policy.changed()
        posture = Posture(self._clock.monotonic)
        await posture.tell(link)
        async with TaskScope("session") as scope:
            tunnels = Tunnels(link, self._policy, key, self._clock, scope, sock_mark=self._mark, known=known)
            self.link, self._gateway.tunnels = link, tunnels
            captive = self.captive = self._captive_watch(controller, link)
            try:
                scope.spawn_supervised(link.run, name="link")
                scope.spawn_supervised(lambda: self._gateway.records.report(link), name="flow-records")
                scope.spawn_supervised(lambda: posture.keep_telling(link), name="posture")
                scope.spawn_supervised(lambda: self._apply(link, tunnels, newest), name="snapshots")
                scope.spawn_supervised(lambda: self._tick(link, tunnels), name="tick")
                moved = link.network_changed, tunnels.doubt
                scope.spawn_supervised(lambda: network_watch.follow(self._clock, self._mark, *moved), name="network")
                scope.spawn_supervised(captive.run, name="captive")
                scope.spawn_supervised(Prewarmer(tunnels, self._policy, link, known.warmth).run, name="prewarm")
                await scope.join()
            finally:
                self.link, self._gateway.tunnels, self.captive = None, None, None
                tunnels.close(Reason.SHUTTING_DOWN)

    async def _apply(self, link: ControlLink, tunnels: Tunnels, newest: Newest) -> None:
        while True:
            snapshot = await newest.take()
            if await self._policy.take(snapshot):
                tunnels.policy_changed()
                link.confirm(snapshot)
                _ = self.state

    def _captive_watch(self, controller: Controller, link: ControlLink) -> CaptiveWatch:
        away = lambda: None if link.connected else link.state.error  # noqa: E731 - looked up anew each time
        host = check_url(controller.url).hostname or ""
        return CaptiveWatch(host, away, link.network_changed, mark=self._mark)

    async def _tick(self, link: ControlLink, tunnels: Tunnels) -> None:
        while True:
            link.synchronise()
            self._policy.tick(link.away_s())
            tunnels.tick()
            self.notice.tick(self.identity)
            _ = self.state
            await asyncio.sleep(TICK_S)

    def _keys_arrived(self, keys: VerificationKeys, welcome: Welcome | None) -> None:
        if self._gateway.tunnels is not None:
            self._gateway.tunnels.keys_changed(keys)
        identity = self.identity
        if identity is None:
            return
        self.identity = replace(
            identity,
            keys=keys,
            user_name=(welcome and welcome.user_name) or identity.user_name,
            session_expires=(welcome and welcome.session_expires) or identity.session_expires,
        )
        if self.identity != identity:
            self._store.store_identity(self.identity)

    def _standing_lost(self, reason: Reason) -> None:
        if self.identity is None or not self.identity.signed_in:
            return  # said twice: by the message, and by the end of the connection
        _log.warning("standing.lost", reason=reason.code)
        # At once, also while a verb holds the lock for as long as somebody takes to sign in, and never after that sign-in.
        self._end_standing(reason)
        self._scope.spawn(self._disconnect(reason), name="standing")

    def _end_standing(self, reason: Reason) -> None:
        """Nobody is signed in any more: everything is cut; names stay recognised, so that nothing leaks (T-55)."""
        self._policy.end_flows(reason)
        self._policy.block(Reason.SIGN_IN_REQUIRED)
        self._store.sign_out()
        self.identity = self._store.identity()
