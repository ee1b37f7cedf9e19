"""Fan-out: from changes of the log to signed messages for exactly the agents that they touch (C22, C23; T-36).

For every change, in this order: cut-offs are made for what devices lost and handed to the connectors concerned at once;
then, coalesced over FAN_OUT_COALESCE_S, new configs and snapshots. Agents that lost their standing are told so and closed.
Time is a change as well: grants, sessions and conditions that end are found by their timers. So is coming from another place:
a client's address is known while it is attached (``watch``). Each replica's hub follows the log and serves its own agents.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

import structlog

from controller.domain.affected import Affected, affected_by
from controller.domain.conditions import Source
from controller.domain.evaluate import subject_of_device
from controller.domain.log import Change, Head, Resync
from controller.domain.losses import Loss
from controller.domain.model import PublicKey
from controller.publish.attachment import AgentKind, Attachment, refresh_after
from controller.publish.cutoffs import KEEP_S, PER_CONFIG, CutoffLedger, Noted
from controller.publish.enforcement import EnforcementTable
from controller.publish.following import ChangeFeed
from controller.publish.issued import Issued
from controller.publish.recovery import restore_enforcement
from controller.publish.signer import Signer, verification_keys
from controller.publish.ticking import keep_ticking
from controller.publish.waking import Waker
from controller.publish.watch import Watch, only_gives
from protocol.acl.model import Deny, IPAddress
from protocol.control import Message, PushConfig, PushSnapshot, Revoked
from protocol.control_keys import KeysChanged
from protocol.errors import OstiaryError
from protocol.ids import ConnectorId, DeviceId, Epoch, Revision
from protocol.limits import FAN_OUT_COALESCE_S
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.tasks import TaskScope

YIELD_EVERY: Final = 100
"""Devices judged in one go before other tasks get their turn."""
RETRY_S: Final = 1.0
"""After a token could not be made."""
CHECKPOINT_SPREAD_S: Final = 20.0
"""Connectors witness a new checkpoint within this time; configs of all of them are not signed at once."""

_log = structlog.get_logger(__name__)


class Hub:
    """Lives in one event loop. ``run`` must be running for pushes to happen; ``jitter(x)`` returns 0 to x.

    ``lag_s`` is by how much other replicas may be behind the log: tokens that they issue meanwhile fall under its cut-offs too.
    """

    def __init__(
        self, feed: ChangeFeed, signer: Signer, clock: Clock, *, jitter: Callable[[float], float], lag_s: float = 0.0
    ) -> None:
        self._feed = feed
        self._lag_s = lag_s
        self._signer = signer
        self._clock = clock
        self._jitter = jitter
        self._head = feed.head
        self._attached: dict[str, Attachment] = {}
        self._stale: set[str] = set()
        self._keys_since = Revision(0)
        self._issued = Issued(jitter)
        self._touched: dict[str, Revision] = {}
        self._ledger = CutoffLedger()
        self._watch = Watch(clock.wall())
        self._timer_set = asyncio.Event()
        self._waker = Waker(self._is_due)
        self._checkpoint = ""
        self.enforcement = EnforcementTable()
        self._recover()

    # --- what the endpoint calls -------------------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        """The newest state; answers to requests are evaluated against it."""
        return self._feed.head

    @property
    def attached(self) -> tuple[Attachment, ...]:
        """The agents that are attached to this replica."""
        return tuple(self._attached.values())

    def attach(
        self,
        agent: str,
        kind: AgentKind,
        key: PublicKey,
        *,
        epoch: Epoch,
        revision: Revision,
        welcomed: Revision,
        wake: Callable[[], None],
        address: IPAddress | None = None,
    ) -> Attachment:
        """Takes an authenticated agent in. An older connection of the same agent is told goodbye (T-20's rule).

        ``address`` is where it comes from. ``epoch`` and ``revision`` are what the agent enforces, ``welcomed`` is the revision of its Welcome. A client that missed nothing since this process made its
        snapshot, or since it acknowledged one of an earlier process, is not sent another one.
        """
        now = self._clock.wall()
        older = self._attached.pop(agent, None)
        if older is not None:
            older.displace()
        attachment = self._attached[agent] = Attachment(agent, kind, key, now, wake)
        attachment.welcomed = welcomed
        if welcomed < self._keys_since:
            attachment.mark_keys_due()
        attachment.refresh_at = now + refresh_after(kind, self._jitter)
        moved = False
        if kind is AgentKind.CLIENT:
            moved, losses = self._arrive(DeviceId(agent), address)
            self._cut_off(losses, self._head.position)
        held = self._issued.of_client(DeviceId(agent), self._head.state, now) if kind is AgentKind.CLIENT else None
        untouched = older is None and not moved and agent not in self._stale and epoch == self.head.state.epoch
        current = held is not None and held.revision == revision and untouched
        if current and held is not None:
            attachment.refresh_at = held.renew_at
        newest_touch = self._touched.get(agent, Revision(0)) if current else self.head.position
        self._touched[agent] = newest_touch
        self.enforcement.acknowledge(agent, epoch, revision, now, newest_touch=newest_touch)
        if not current:
            attachment.mark_dirty()
        return attachment

    def take_checkpoint(self, token: str) -> None:
        """The log has a newer checkpoint: every connector is to witness it soon, in its next config (T-70)."""
        self._checkpoint = token
        now = self._clock.wall()
        for attachment in self.attached:
            if attachment.kind is AgentKind.CONNECTOR:
                attachment.refresh_at = min(attachment.refresh_at, now + self._jitter(CHECKPOINT_SPREAD_S))
        self.tick()

    def detach(self, attachment: Attachment) -> None:
        """The socket is gone."""
        if self._attached.get(attachment.agent) is not attachment:
            return
        del self._attached[attachment.agent]
        if attachment.kind is AgentKind.CLIENT:
            self._watch.leave(self._head.state, DeviceId(attachment.agent), self._clock.wall())
            self._timer_set.set()

    def place_of(self, device: DeviceId) -> Source:
        """Where the device is now, as far as that is known here."""
        return self._watch.place_of(device, self._clock.wall())

    def moved(self, agent: str) -> None:
        """The agent attached to another replica since: what it left here is told goodbye, as ``attach`` does (T-20's rule)."""
        attachment = self._attached.get(agent)
        if attachment is not None:
            attachment.displace()

    def seen_elsewhere(self, device: DeviceId, address: IPAddress | None) -> bool:
        """The device is attached to another replica and comes from ``address``: what it loses by that is cut off here too. False: it still hangs here."""
        if device in self._attached:
            return False
        self._cut_off(self._arrive(device, address)[1], self._head.position)
        return True

    def left_elsewhere(self, device: DeviceId) -> None:
        """The device is not attached to another replica any more."""
        if device not in self._attached:
            self._watch.leave(self._head.state, device, self._clock.wall())
            self._timer_set.set()

    def _arrive(self, device: DeviceId, address: IPAddress | None) -> tuple[bool, tuple[Loss, ...]]:
        self._timer_set.set()
        return self._watch.arrive(self._head.state, device, address, self._clock.wall())

    def is_attached(self, agent: str) -> bool:
        """Whether the agent is attached to this replica."""
        return agent in self._attached

    def acknowledge(self, agent: str, epoch: Epoch, revision: Revision) -> None:
        """The agent says what it enforces now."""
        touch = self._touched.get(agent, Revision(0))
        self.enforcement.acknowledge(agent, epoch, revision, self._clock.wall(), newest_touch=touch)

    def take(self, attachment: Attachment) -> Message | None:
        """Returns the next message for the agent, made from the state of this moment; None when there is nothing."""
        if attachment.ended:
            return None
        if attachment.take_keys_due():
            # Before what a new key signed; and an agent that still believes a distrusted one is the more urgent case.
            return KeysChanged(verification_keys(self._feed.head.state).to_jwks())
        message: Message | None = attachment.take_cutoffs()
        if message is not None:
            return message
        if attachment.dirty:
            message = self._token(attachment)
            if message is not None:
                return message
        return attachment.take_last()

    def not_before(self, device: DeviceId) -> int:
        """The earliest issue time (Unix s) of an access token that no cut-off of the device hits."""
        return self._ledger.floor(device)

    def restore(self, acks: Sequence[tuple[str, Epoch, Revision, float]], *, same_code_since: float = 0.0) -> None:
        """Takes in what agents acknowledged before this process started: agent, epoch, revision, Unix seconds; what is
        older than ``same_code_since`` other code may have evaluated, and it spares no client a new snapshot."""
        state, recent = self._head.state, self._feed.recent
        restore_enforcement(self.enforcement, state, recent, acks)
        self._issued.remember((a for a in acks if a[3] >= same_code_since), state, recent, self.enforcement)

    # --- following the log and the clock -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Pushes until cancelled."""
        async with TaskScope("hub") as scope:
            scope.spawn(self._follow(), name="follow")
            scope.spawn(self._waker.run(), name="wake")
            scope.spawn(keep_ticking(self.tick, self._watch.next, self._clock, self._timer_set), name="time")
            await scope.join()

    async def _follow(self) -> None:
        reader = self._feed.subscribe(self._head.position)
        while True:
            news = await reader.next()
            affected = await (self._resync(news) if isinstance(news, Resync) else self._absorb(news))
            await asyncio.sleep(FAN_OUT_COALESCE_S)
            self._publish(affected)

    async def _absorb(self, changes: Sequence[Change]) -> Affected:
        """Cuts off what is lost, change by change: what was given and taken within one batch counts as well."""
        total = Affected()
        for change in changes:
            before, after, event = change.before, change.after.state, change.event
            affected = affected_by(before, after, event)
            self._head = change.after
            at = change.after.state.at_ms / 1000 + self._lag_s
            if not only_gives(event):
                await self._judge(affected.devices, partial(self._watch.losses_by, change), at)
            self._touch(affected, change.position)
            total |= affected
        return total

    async def _resync(self, news: Resync) -> Affected:
        before, self._head = self._head.state, news.head
        after = news.head.state
        devices = frozenset(before.devices) | frozenset(after.devices)
        connectors = frozenset(before.connectors) | frozenset(after.connectors)
        await self._judge(devices, partial(self._watch.losses_between, before, after))
        keys = frozenset(before.signing_keys) != frozenset(after.signing_keys)
        affected = Affected(devices, connectors, everybody=True, keys=keys, relays=True)
        self._touch(affected, news.head.position)
        return affected

    async def _judge(
        self, devices: Collection[DeviceId], losses_by: Callable[[DeviceId, float], Sequence[Loss]], at: float = 0.0
    ) -> None:
        """Finds out what each device lost and hands out the cut-offs as they are found, as of ``at`` or now if that is later."""
        ordered = sorted(devices)
        for start in range(0, len(ordered), YIELD_EVERY):
            now = self._clock.wall()
            losses: list[Loss] = []
            for device in ordered[start : start + YIELD_EVERY]:
                losses += losses_by(device, now)
                self._watch.set_timer(self._head.state, device, now)
            self._cut_off(losses, self._head.position, at)
            await asyncio.sleep(0)
        self._timer_set.set()

    def _cut_off(self, losses: Sequence[Loss], revision: Revision, at: float = 0.0) -> None:
        if losses:
            self._hand_out(self._ledger.note(losses, max(at, self._clock.wall())), revision)

    def _hand_out(self, noted: Sequence[Noted], revision: Revision) -> None:
        networks = {network for item in noted for network in item.networks}
        for network in networks:
            here = [item.cutoff for item in noted if network in item.networks]
            for connector in self._head.state.connectors_in.get(network, ()):
                # A config made from the newest state may still lack the cut-offs that are only made now.
                self._mark(connector, revision, even_if_newer=True)
                attachment = self._attached.get(connector)
                if attachment is not None:
                    attachment.add_cutoffs(revision, here)
        _log.info("access.cut_off", revision=revision, cutoffs=len(noted), networks=sorted(networks))

    def _touch(self, affected: Affected, revision: Revision) -> None:
        state = self._head.state
        if affected.keys:
            self._keys_since = revision
        for agent in (*affected.devices, *affected.connectors):
            self._mark(agent, revision)
        if affected.everybody:
            for agent in (*state.devices, *state.connectors):
                self._mark(agent, revision)

    def _mark(self, agent: str, revision: Revision, *, even_if_newer: bool = False) -> None:
        """The agent needs a new token, now or when it comes back, unless it got one that knows of the change."""
        if not self._has_standing(agent):
            # It will be told so if it is attached, and by the endpoint if it comes back.
            self.enforcement.forget(agent)
            self._issued.forget(agent)
            self._touched.pop(agent, None)
            self._stale.discard(agent)
            return
        self._touched[agent] = revision
        if even_if_newer or self.enforcement.line(agent).revision < revision:
            self.enforcement.touch(agent, revision)
        if even_if_newer or self._issued.revision(agent) < revision:
            self._stale.add(agent)

    def _has_standing(self, agent: str) -> bool:
        state = self._head.state
        return DeviceId(agent) in state.devices or ConnectorId(agent) in state.connectors

    def _publish(self, affected: Affected) -> None:
        """Wakes connectors first, so that they know the new config before a client acts on its new snapshot."""
        touched = affected.connectors | affected.devices
        for attachment in self.attached:
            if affected.keys and attachment.welcomed < self._keys_since:
                attachment.mark_keys_due()
            if attachment.agent not in touched and attachment.agent not in self._stale:
                continue
            if attachment.kind is AgentKind.CLIENT:
                self._waker.add(attachment)
            elif self._is_due(attachment):
                attachment.mark_dirty()

    def _is_due(self, attachment: Attachment) -> bool:
        """Those that are gone from the policy are not stale, but must be told; those no longer stale have theirs."""
        return attachment.agent in self._stale or not self._has_standing(attachment.agent)

    def tick(self) -> None:
        """Handles what the clock has brought: ended grants and sessions, tokens that are to be renewed."""
        now = self._clock.wall()
        for device, losses in self._watch.take_due(self._head.state, now):
            self._cut_off(losses, self._head.position)
            self._mark(device, self._head.position, even_if_newer=True)
            if device in self._attached:
                self._attached[device].mark_dirty()
        for attachment in self.attached:
            if attachment.refresh_at <= now:
                attachment.mark_dirty()

    # --- making tokens -----------------------------------------------------------------------------------------------

    def _token(self, attachment: Attachment) -> Message | None:
        now = self._clock.wall()
        head = self._feed.head
        try:
            make = self._snapshot if attachment.kind is AgentKind.CLIENT else self._config
            message: PushSnapshot | PushConfig | None = make(attachment, head, now)
        except OstiaryError as error:
            # It stays stale and is tried again. What the agent holds is older, and cut-offs reach it anyway.
            _log.error("token.not_made", agent=attachment.agent, reason=error.reason.code, detail=error.detail)
            self._stale.add(attachment.agent)
            attachment.mark_clean()
            attachment.refresh_at = now + RETRY_S
            return None
        attachment.mark_clean()
        if message is not None:
            self._stale.discard(attachment.agent)
            attachment.note_sent(head.position, message.token)
            attachment.refresh_at = now + refresh_after(attachment.kind, self._jitter)
            self._issued.note(attachment.agent, head.position, attachment.refresh_at)
        return message

    def _snapshot(self, attachment: Attachment, head: Head, now: float) -> PushSnapshot | None:
        subject = subject_of_device(head.state, DeviceId(attachment.agent), now)
        if isinstance(subject, Deny):
            attachment.end(Revoked(subject.reason.code))
            return None
        return self._signer.snapshot(head, subject, now, source=self._watch.place_of(subject.device, now))

    def _config(self, attachment: Attachment, head: Head, now: float) -> PushConfig | None:
        connector = head.state.connectors.get(ConnectorId(attachment.agent))
        if connector is None or connector.key != attachment.key:
            attachment.end(Revoked(Reason.ACCESS_REVOKED.code))
            return None
        cutoffs = self._ledger.live_in(connector.network, now)
        config = self._signer.config(head, connector, cutoffs[:PER_CONFIG], now, checkpoint=self._checkpoint)
        if len(cutoffs) > PER_CONFIG:
            # A config ends what was pushed up to its revision; these go on until the next one.
            attachment.add_cutoffs(Revision(head.position + 1), list(cutoffs[PER_CONFIG:]))
        return PushConfig(config)

    def _recover(self) -> None:
        """Makes the cut-offs again that were made shortly before this process started, and sets all timers."""
        now = self._clock.wall()
        for change in self._feed.recent:
            at = change.after.state.at_ms / 1000
            if at < now - KEEP_S or only_gives(change.event):
                continue
            before, after = change.before, change.after.state
            for device in affected_by(before, after, change.event).devices:
                self._ledger.note(self._watch.losses_by(change, device, at), at + self._lag_s)
        for device in self._head.state.devices:
            self._watch.set_timer(self._head.state, device, now)
