"""Builds the controller: store, keys, hub, agents' endpoint, relay links and API, from ``Settings``.

``build_app`` only wires; everything that opens something is in the lifespan, in the order of its needs, and is closed in the
opposite order. A lost database is waited for; a damaged log, or a hub that crashed, ends the process, because going on
could mean to miss a revocation (T-7).
"""

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import AsyncIterator
from typing import Final

import structlog
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from controller import metrics
from controller.agents import AgentEndpoint, Presence, RelayLinks
from controller.agents.shared_tests import SharedTests
from controller.agents.sharing import ROUND_S, Sharing
from controller.api.console import Console, find_build
from controller.api.document import build_api
from controller.api.operations import keys
from controller.api.operations.checkpoints import Checkpointer
from controller.api.operations.sign_in_audit import keep_counts
from controller.api.presence import RELAY_OFFLINE, AgentPresence, RelayPresence
from controller.api.services import Services
from controller.api.writes import KEEP_S as IDEMPOTENCY_KEEP_S
from controller.delivery.courier import Courier
from controller.identity.keyring import KeyRing, plan_due_rotation, plan_retirement
from controller.identity.passwords import Passwords
from controller.identity.provider_client import ProviderClient, provider_context
from controller.identity.sealing import load_seal
from controller.publish import Hub, Signer
from controller.settings import Settings, host_of, worker_metrics_socket
from controller.store import (
    Store,
    access_requests,
    asked_tests,
    enrolments,
    idempotency,
    passkeys,
    replicas,
    upkeep,
    web_sessions,
)
from controller.store.retention import close_orphans, purge_acknowledgements, purge_connections
from protocol.control import AGENT_PATH
from protocol.errors import LocalError
from protocol.ids import RelayId
from protocol.limits import CLOCK_LEEWAY_S, LEASE_MAX_S
from protocol.reasons import Reason
from runtime.backoff import Backoff
from runtime.clock import Clock, SystemClock
from runtime.entropy import token_text
from runtime.metrics import SOCKET_NAME as METRICS_SOCKET
from runtime.metrics import MetricsServer
from runtime.tasks import TaskScope
from runtime.trust import client_context

HOUSEKEEPING_S: Final = 3600.0
DAY_S: Final = 24 * 3600
REQUEST_TEXTS_KEEP_S: Final = 90 * 24 * 3600
"""How long the texts of requests for access are kept; the log keeps who asked for what."""
SPENT_KEEP_S: Final = 7 * 24 * 3600
"""How long spent and expired enrolments and sessions are kept, so that they can be called used or expired."""

REPLICA_LAG_S: Final = 2.0
"""Other replicas look at the log every second, whatever happens to notifications."""
FOLD_CHECK_S: Final = 300.0
DATABASE_RETRY_CAP_S: Final = 1.0
"""Longest pause before a lost database is tried again: back within three seconds of its return (F-10)."""

_log = structlog.get_logger(__name__)


def build_app(
    settings: Settings, *, clock: Clock | None = None, hasher: PasswordHasher | None = None, worker: int = 0
) -> FastAPI:
    """Returns the application; its lifespan opens the store and runs everything. ``worker``: its number among several.

    The lifespan raises LocalError when the controller cannot start: not set up, wrong schema, damaged log or keys.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings, clock=clock or SystemClock(), hasher=hasher) as services:
            app.state.services = services
            async with run_agents(services, worker=worker) as endpoint:
                app.state.agents = endpoint
                yield

    app = build_api(lifespan=lifespan)

    async def agents(scope: Scope, receive: Receive, send: Send) -> None:
        endpoint: AgentEndpoint = app.state.agents
        await endpoint.serve(WebSocket(scope, receive, send))

    app.websockets = {AGENT_PATH: agents}
    app.router.default = Console(app.router.default, find_build())
    return app


def services_of(app: FastAPI) -> Services:
    """Returns what the lifespan of ``app`` has opened."""
    services: Services = app.state.services
    return services


@contextlib.asynccontextmanager
async def open_services(
    settings: Settings, *, clock: Clock, hasher: PasswordHasher | None = None
) -> AsyncIterator[Services]:
    """Opens the store and the keys; closes them afterwards. Raises LocalError."""
    settings.require_database()
    seal = load_seal(settings.state_dir)
    store = await Store.open(settings.effective_database_url, seal=seal)
    passwords = Passwords(hasher)
    providers = ProviderClient(
        provider_context(settings.identity_provider_ca), clock, loopback=settings.identity_providers_on_loopback
    )
    try:
        ca = await keys.load_ca(seal, store)
        ring = KeyRing(seal)
        await keys.load_missing(ring, store, store.feed.state)
        yield Services(
            settings=settings,
            clock=clock,
            store=store,
            seal=seal,
            ca=ca,
            keyring=ring,
            passwords=passwords,
            providers=providers,
        )
    finally:
        passwords.close()
        await store.close()


@contextlib.asynccontextmanager
async def run_agents(services: Services, *, worker: int = 0) -> AsyncIterator[AgentEndpoint]:
    """Runs what serves agents and relays, and the controller's own upkeep."""
    store, clock = services.store, services.clock
    presence = Presence()
    settings = services.settings
    signer = Signer(services.keyring, token_text, access_life_s=settings.access_token_s)
    lag_s = REPLICA_LAG_S if store.shared else 0.0
    hub = Hub(store.feed, signer, clock, jitter=lambda most: random.uniform(0.0, most), lag_s=lag_s)  # noqa: S311 - spreads load
    services.presence = ShownPresence(presence, hub, clock)
    endpoint = AgentEndpoint(
        store=store,
        hub=hub,
        signer=signer,
        presence=presence,
        clock=clock,
        audiences=lambda: (services.state.issuer, *services.audiences),
        addresses=services.announced_urls,
        announce_s=settings.connector_key_wait_s or settings.access_token_s + 2 * CLOCK_LEEWAY_S,
    )
    replica = token_text(12)
    tests = services.destination_tests = SharedTests(store, endpoint.tests, presence, replica=replica)
    await endpoint.journal.restore()
    links = RelayLinks(store.feed, signer, presence, clock, client_context(services.ca.pem))
    checkpointer = Checkpointer(store, signer, clock, hub.take_checkpoint)
    await checkpointer.load()
    shown = metrics.source(services, hub, presence, endpoint.tally)
    # Where the settings say, the parent of several workers shows those of all.
    metrics_listen = None if worker else services.settings.metrics_listen
    metrics_at = services.settings.state_dir / (worker_metrics_socket(worker) if worker else METRICS_SOCKET)
    async with MetricsServer(shown, metrics_listen, metrics_at), TaskScope("controller") as scope:
        scope.spawn(follow_log(store), name="follow")
        scope.spawn(upkeep.verify_below(store, store.base), name="verify")
        scope.spawn_supervised(lambda: follow_keys(services), name="keys")
        scope.spawn(hub.run(), name="hub")
        scope.spawn_supervised(links.run, name="relays")
        scope.spawn_supervised(endpoint.journal.run, name="acknowledgements")
        scope.spawn_supervised(lambda: lead(services), name="leader")
        scope.spawn_supervised(lambda: keep_counts(services), name="sign-in failures")
        sharing = Sharing(store, presence, hub, clock, replica=replica, hostname=socket.gethostname())
        if store.shared:
            scope.spawn_supervised(lambda: share(sharing), name="sharing")
            scope.spawn_supervised(tests.run, name="tests")
        scope.spawn_supervised(checkpointer.run, name="checkpoints")
        yield endpoint
        await checkpointer.sign_last()
        scope.cancel()
    with contextlib.suppress(LocalError):
        await endpoint.journal.round()
    if store.shared:
        with contextlib.suppress(LocalError):
            await sharing.leave()


async def follow_log(store: Store) -> None:
    """Follows what other processes append. A database that is away is waited for; a gap in the log is the end."""
    backoff = Backoff(cap_s=DATABASE_RETRY_CAP_S)
    while True:
        try:
            await store.follow()
        except LocalError as exc:
            if exc.reason is not Reason.UNAVAILABLE:
                raise
            _log.warning("the log cannot be followed", reason=exc.reason.code, detail=exc.detail)
        await asyncio.sleep(backoff.next())


async def share(sharing: Sharing) -> None:
    """Tells the other replicas about this one's agents and hears about theirs; runs until cancelled."""
    away = False
    while True:
        try:
            await sharing.round()
            away = False
        except LocalError as exc:
            if exc.reason is not Reason.UNAVAILABLE:
                raise
            if not away:
                _log.warning("nothing is shared for now", reason=exc.reason.code, detail=exc.detail)
            away = True
        await asyncio.sleep(ROUND_S)


async def follow_keys(services: Services) -> None:
    """Loads private keys as they appear in the log; runs until cancelled."""
    while True:
        state = services.state
        await keys.load_missing(services.keyring, services.store, state)
        await services.store.feed.wait_beyond(state.position)


async def lead(services: Services) -> None:
    """Does what one replica does for all, whenever this one is the leader; runs until cancelled."""
    backoff = Backoff(cap_s=DATABASE_RETRY_CAP_S)
    while True:
        try:
            await services.store.lead(lambda: do_duties(services))
        except LocalError as exc:
            if exc.reason is not Reason.UNAVAILABLE:
                raise
            _log.warning("no leader's duties for now", reason=exc.reason.code, detail=exc.detail)
        await asyncio.sleep(backoff.next())


async def do_duties(services: Services) -> None:
    """Everything that only the leader does."""
    async with TaskScope("duties") as scope:
        scope.spawn_supervised(lambda: keep_house(services), name="housekeeping")
        scope.spawn_supervised(lambda: save_folds(services), name="folds")
        scope.spawn_supervised(courier_of(services).run, name="sinks")
        await scope.join()


def courier_of(services: Services) -> Courier:
    """Returns what carries records to the sinks."""
    return Courier(
        services.store,
        services.seal,
        services.clock,
        hostname=lambda: host_of(services.public_url),
        process=str(os.getpid()),
        loopback=services.settings.sinks_on_loopback,
        stats=services.sinks,
    )


async def save_folds(services: Services) -> None:
    """Saves the fold of the log now and then, so that starts are quick; runs until cancelled."""
    while True:
        await upkeep.save_fold(services.store, services.seal, services.clock.wall())
        await asyncio.sleep(FOLD_CHECK_S)


async def keep_house(services: Services) -> None:
    """Deletes what is past its time and retires keys; runs until cancelled."""
    while True:
        now = services.clock.wall()
        async with services.store.transact() as connection:
            await idempotency.purge(connection, now - IDEMPOTENCY_KEEP_S)
            await web_sessions.purge(connection, now - SPENT_KEEP_S)
            await enrolments.purge(connection, now - SPENT_KEEP_S)
            await passkeys.purge_challenges(connection, now)
            await replicas.purge(connection, now)
            await asked_tests.purge(connection)
            await access_requests.purge(connection, now - REQUEST_TEXTS_KEEP_S)
        settings = services.settings
        await purge_connections(
            services.store,
            before_ms=round((now - settings.connections_keep_days * DAY_S) * 1000),
            keep_rows=settings.connections_keep_rows,
        )
        await purge_acknowledgements(
            services.store, before_ms=round((now - settings.connections_keep_days * DAY_S) * 1000)
        )
        await close_orphans(
            services.store,
            known={str(agent) for agent in (*services.state.connectors, *services.state.devices)},
            silent_before_ms=round((now - LEASE_MAX_S) * 1000),
            now_ms=round(now * 1000),
        )
        if plan_retirement(services.state, now).commands:
            async with services.store.write(actor="system", request_id="housekeeping", now=now) as unit:
                await keys.retire(services.keyring, unit)
        await rotate_keys(services, now)
        await asyncio.sleep(HOUSEKEEPING_S)


async def rotate_keys(services: Services, now: float) -> None:
    """Lets the next key sign when the active one has signed for long enough (T-64)."""
    every_s = services.settings.signing_key_days * DAY_S
    if plan_due_rotation(services.state, now, every_s).commands:
        async with services.store.write(actor="system", request_id="housekeeping", now=now) as unit:
            if await keys.rotate_if_due(services.keyring, unit, every_s):
                _log.info("signing keys rotated")


class ShownPresence:
    """Presence and enforcement of this replica as the API shows them."""

    def __init__(self, presence: Presence, hub: Hub, clock: Clock) -> None:
        self._presence = presence
        self._hub = hub
        self._clock = clock

    def agent(self, agent: str) -> AgentPresence:
        """What is known about a client or connector."""
        line = self._hub.enforcement.line(agent)
        seen = self._presence.agent(agent)
        enforced_at = line.since or None
        if seen is None:
            return AgentPresence(
                online=False,
                enforced_revision=line.revision,
                enforced_at=enforced_at,
                pending_revision=line.pending_since,
            )
        return AgentPresence(
            online=True,
            since=seen.since,
            software=seen.software,
            hostname=seen.hostname,
            clock_offset_ms=seen.clock_offset_ms,
            relays=tuple(seen.relays),
            flows=seen.flows,
            tunnels=seen.tunnels,
            enforced_revision=line.revision,
            enforced_at=enforced_at,
            pending_revision=line.pending_since,
        )

    def relay(self, relay: str) -> RelayPresence:
        """What is known about a relay."""
        now = self._clock.wall()
        seen = self._presence.relay(RelayId(relay), now)
        if seen is None:
            return RELAY_OFFLINE
        report = seen.report
        if report is None:
            return RelayPresence(online=True, since=seen.since)
        return RelayPresence(
            online=True,
            since=seen.since,
            software=report.software,
            clock_offset_ms=report.clock_ms - round(seen.last_seen * 1000),
            attachments=len(report.attachments),
            parked=report.parked,
            pairs=report.pairs,
            bytes_copied=report.bytes_copied,
        )
