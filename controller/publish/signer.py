"""From policy state to signed tokens. Every token names the revision and, where it has one, the grants.

The revision is the position of the log's newest event at the time of signing, and ``log_head`` that event's hash: what
agents hold bears witness to the log (T-70).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from controller.domain.conditions import Source
from controller.domain.connector_keys import pins_of
from controller.domain.evaluate import Subject, acl_for_device, config_acl
from controller.domain.log import Head
from controller.domain.model import Connector, Relay, SubjectKind
from controller.domain.state import PolicyState
from controller.domain.withheld import withheld_names
from controller.publish.shared_lists import SharedLists
from controller.publish.tickets import Asked, Tickets
from protocol.acl.model import Acl
from protocol.control import Cutoff, PushSnapshot
from protocol.errors import RefusedError
from protocol.ids import DeviceId, GrantId, ResourceId, Revision, SessionId, SpkiPin, relay_hash
from protocol.limits import (
    ACCESS_LIFE_S,
    AUTHORISATION_LIFE_S,
    CHECKPOINT_LIFE_S,
    CLIENT_TICKET_LIFE_S,
    CONFIG_LIFE_S,
    CONNECTOR_TICKET_LIFE_S,
    SNAPSHOT_LIFE_S,
)
from protocol.reasons import Reason
from protocol.tokens import issue
from protocol.tokens.claims import (
    Access,
    Authorisation,
    Checkpoint,
    Config,
    ConfigRelay,
    Keyset,
    Path,
    Snapshot,
    Ticket,
    TicketRole,
)
from protocol.tokens.keys import SigningKey, VerificationKeys, key_from_jwk_untrusted


class KeyRing(Protocol):
    """Holds the private halves of the signing keys (``controller.identity.keyring``)."""

    def active(self, state: PolicyState) -> SigningKey:
        """Returns the key that signs now. Raises RefusedError(UNAVAILABLE)."""
        ...


@dataclass(frozen=True, slots=True)
class Hop:
    """One way to a connector: through this relay, to a certificate with one of these pins."""

    connector: Connector
    pins: tuple[SpkiPin, ...]
    relay: Relay


def verification_keys(state: PolicyState) -> VerificationKeys:
    """Returns the keys that agents and relays must know."""
    records = sorted(state.signing_keys.values(), key=lambda record: (record.added_ms, record.kid))
    return VerificationKeys({record.kid: key_from_jwk_untrusted(record.key.to_jwk()) for record in records})


class Signer:
    """Makes tokens. ``now`` is Unix seconds; ``new_jti`` returns a fresh random text; ``access_life_s`` is how long access
    tokens live, at most ACCESS_LIFE_S: cut-offs are kept for as long as that.
    """

    def __init__(self, ring: KeyRing, new_jti: Callable[[], str], *, access_life_s: int = ACCESS_LIFE_S) -> None:
        self._ring = ring
        self._new_jti = new_jti
        self._access_life_s = min(access_life_s, ACCESS_LIFE_S)
        self._lists = SharedLists()
        self._tickets = Tickets()

    def snapshot(self, head: Head, subject: Subject, now: float, *, source: Source = None) -> PushSnapshot:
        """Signs the whitelist of a device in good standing, which is at ``source`` (C7). It never outlives the session."""
        state = head.state
        whitelist = self._lists.of(state, subject, now, source)
        claims = Snapshot(
            issuer=state.issuer,
            device=subject.device,
            user=subject.owner.id,
            user_kind="user" if subject.owner.kind is SubjectKind.USER else "service",
            session=subject.session or SessionId(""),
            epoch=state.epoch,
            revision=head.position,
            issued_at=int(now),
            not_after=_bounded(int(now) + SNAPSHOT_LIFE_S, subject.session_expires),
            acl=whitelist.acl,
            networks=whitelist.networks,
            log_head=head.log_head,
        )
        token = issue.issue_snapshot(claims, self._ring.active(state), whitelist=whitelist.encoded)
        return PushSnapshot(token, () if whitelist.plain else withheld_names(state, subject, now, source=source))

    def config(
        self, head: Head, connector: Connector, cutoffs: Sequence[Cutoff], now: float, *, checkpoint: str = ""
    ) -> str:
        """Signs what a connector may serve, with a ticket for each enrolled relay (C3) and the newest checkpoint."""
        state = head.state
        relays = sorted((relay for relay in state.relays.values() if relay.key is not None), key=lambda relay: relay.id)
        claims = Config(
            issuer=state.issuer,
            connector=connector.id,
            network=connector.network,
            epoch=state.epoch,
            revision=head.position,
            issued_at=int(now),
            not_after=int(now) + CONFIG_LIFE_S,
            acl=config_acl(state, connector.id),
            relays=tuple(
                ConfigRelay(relay.id, relay.fqdn, relay.port, self._connector_ticket(state, relay, connector, now))
                for relay in relays
            ),
            cutoffs=tuple(cutoffs),
            log_head=head.log_head,
            egress_allow=state.networks[connector.network].egress_allow,
            checkpoint=checkpoint,
        )
        return issue.issue_config(claims, self._ring.active(state))

    def authorisation(self, head: Head, subject: Subject, resource: ResourceId, hops: Sequence[Hop], now: float) -> str:
        """Signs the paths to a resource that the caller has just evaluated as permitted, best first (C11)."""
        state = head.state
        key = self._ring.active(state)
        paths, expires = [], _bounded(int(now) + AUTHORISATION_LIFE_S, subject.session_expires)
        for hop in hops:
            ticket, until = self._client_ticket(state, subject.device, hop, key, now)
            # Who holds an authorisation may use all that is in it.
            expires = min(expires, until)
            paths.append(_path(hop, ticket))
        claims = Authorisation(
            issuer=state.issuer,
            device=subject.device,
            resource=resource,
            revision=head.position,
            issued_at=int(now),
            expires=expires,
            paths=tuple(paths),
        )
        return issue.issue_authorisation(claims, key)

    def access(
        self,
        head: Head,
        subject: Subject,
        connector: Connector,
        jwk: Mapping[str, str],
        now: float,
        *,
        not_before: int,
        source: Source = None,
    ) -> str:
        """Signs an access token for one connector, holding only what lies in its network (C15).

        ``not_before`` is the newest cut-off of the device: a token issued in the same second must not fall under it.

        Raises:
            RefusedError: NO_GRANT when the device may reach nothing in that network; NO_CONNECTOR when the connector has no
                certificate.
        """
        state = head.state
        entries = acl_for_device(state, subject.device, now, source=source).entries
        acl = Acl(tuple(entry for entry in entries if entry.resource.network == connector.network))
        if not acl.entries:
            raise RefusedError(Reason.NO_GRANT, f"nothing in network {connector.network}")
        grants: set[GrantId] = {grant for entry in acl.entries for grant in entry.grants}
        issued_at = max(int(now), not_before)
        pins = pins_of(connector, now)
        if not pins:
            raise RefusedError(Reason.NO_CONNECTOR, f"connector {connector.id} is not enrolled")
        claims = Access(
            issuer=state.issuer,
            connector=connector.id,
            device=subject.device,
            user=subject.owner.id,
            session=subject.session or SessionId(""),
            jti=self._new_jti(),
            acl=acl,
            jwk=jwk,
            revision=head.position,
            grants=tuple(sorted(grants)),
            issued_at=issued_at,
            expires=_bounded(issued_at + self._access_life_s, subject.session_expires),
            pins=pins,
        )
        return issue.issue_access(claims, self._ring.active(state))

    def checkpoint(self, head: Head, previous: tuple[int, str], now: float) -> Checkpoint:
        """Signs where the log stands (T-70). ``previous``: position and hash of the checkpoint before this one.

        Raises RefusedError(UNAVAILABLE) while no signing key is ready.
        """
        claims = Checkpoint(
            issuer=head.state.issuer,
            epoch=head.state.epoch,
            position=head.position,
            hash=head.log_head,
            previous_position=Revision(previous[0]),
            previous_hash=previous[1],
            issued_at=int(now),
            expires=int(now) + CHECKPOINT_LIFE_S,
        )
        return replace(claims, token=issue.issue_checkpoint(claims, self._ring.active(head.state)))

    def keyset(self, state: PolicyState, relay: Relay, now: float) -> str:
        """Signs the keys that a relay must know (rendezvous.KeysPushed)."""
        jwks = verification_keys(state).to_jwks()
        claims = Keyset(state.issuer, relay.id, jwks, int(now), int(now) + CLIENT_TICKET_LIFE_S)
        return issue.issue_keyset(claims, self._ring.active(state))

    def controller_ticket(self, state: PolicyState, relay: Relay, now: float) -> str:
        """Signs the controller's own ticket for a relay's CONTROL_PATH."""
        return self._ticket(state, relay, "controller", None, self._ring.active(state), now, CLIENT_TICKET_LIFE_S)

    def _connector_ticket(self, state: PolicyState, relay: Relay, connector: Connector, now: float) -> str:
        key = self._ring.active(state)
        return self._ticket(state, relay, "connector", connector, key, now, CONNECTOR_TICKET_LIFE_S)

    def _client_ticket(
        self, state: PolicyState, device: DeviceId, hop: Hop, key: SigningKey, now: float
    ) -> tuple[str, int]:
        """The ticket for one way, and when it expires: one for each device, because relays count connections by ticket (T-25)."""

        def make() -> tuple[str, int]:
            ticket = self._ticket(state, hop.relay, "client", hop.connector, key, now, CLIENT_TICKET_LIFE_S)
            return ticket, int(now) + CLIENT_TICKET_LIFE_S

        return self._tickets.of(Asked(device, hop.connector.id, hop.relay.id, key.kid), now, make)

    def _ticket(
        self,
        state: PolicyState,
        relay: Relay,
        role: TicketRole,
        connector: Connector | None,
        key: SigningKey,
        now: float,
        life_s: int,
    ) -> str:
        hashed = relay_hash(connector.id) if connector is not None else None
        return issue.issue_ticket(Ticket(state.issuer, relay.id, role, hashed, int(now), int(now) + life_s), key)


def _path(hop: Hop, ticket: str) -> Path:
    return Path(
        connector=hop.connector.id,
        connector_hash=relay_hash(hop.connector.id),
        pins=hop.pins,
        relay=hop.relay.id,
        fqdn=hop.relay.fqdn,
        port=hop.relay.port,
        ticket=ticket,
    )


def _bounded(expires: int, session_expires: int | None) -> int:
    return expires if session_expires is None else min(expires, session_expires)
