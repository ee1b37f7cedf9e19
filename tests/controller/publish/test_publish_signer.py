"""Every token that the controller signs is what its verifier takes, and says no more than the policy."""

import pytest
from policy_world import FAR, PIN, START
from publish_office import Office, private_key

from controller.domain import commands as c
from controller.domain.evaluate import Subject, acl_for_device, config_acl, subject_of_device
from controller.publish import Hop
from controller.publish.tickets import AGAIN_S
from protocol.acl.model import Acl
from protocol.control import Cutoff
from protocol.errors import RefusedError
from protocol.ids import ConnectorId, DeviceId, relay_hash
from protocol.limits import ACCESS_LIFE_S, CLIENT_TICKET_LIFE_S, CONFIG_LIFE_S, CONNECTOR_TICKET_LIFE_S, SNAPSHOT_LIFE_S
from protocol.reasons import Reason
from protocol.tokens.claims import Authorisation
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.verify import (
    verify_access,
    verify_authorisation,
    verify_config,
    verify_keyset,
    verify_snapshot,
    verify_ticket,
)
from relay.core.registry import CONNECTIONS_PER_TICKET, ConnectionNumber, Pair, Refuse, Registry

NOW = START + 1.7


class Signed(Office):
    """A laptop with access to one of two networks."""

    def __init__(self) -> None:
        super().__init__()
        world = self.world
        self.user = world.user()
        self.device = world.laptop(self.user)
        self.network, self.other = world.network("office"), world.network("plant")
        self.resource = world.resource(self.network)
        self.grant = world.grant(self.user, self.resource)
        self.connector_id = world.connector(self.network)
        self.relay = world.relay("relay.example", 8443)
        world.relay(enrolled=False)

    @property
    def subject(self) -> Subject:
        """The laptop's standing."""
        subject = subject_of_device(self.world.state, self.device, NOW)
        assert isinstance(subject, Subject)
        return subject

    def snapshot_of(self, device: DeviceId) -> str:
        """A device's snapshot."""
        subject = subject_of_device(self.world.state, device, NOW)
        assert isinstance(subject, Subject)
        return self.signer.snapshot(self.head, subject, NOW).token


def test_a_snapshot_is_the_evaluators_answer() -> None:
    office = Signed()
    snapshot = verify_snapshot(
        office.snapshot_of(office.device), keys=office.keys, issuer="ctl_test", device=office.device, now=NOW
    )
    assert snapshot.acl == acl_for_device(office.world.state, office.device, NOW)
    assert dict(snapshot.networks) == {office.network: "office"}
    assert (snapshot.revision, snapshot.log_head) == (office.head.position, office.head.log_head)
    assert (snapshot.user, snapshot.user_kind, snapshot.epoch) == (office.user, "user", 1)
    assert snapshot.not_after == START + 1 + SNAPSHOT_LIFE_S


def test_a_snapshot_never_outlives_the_session() -> None:
    office = Signed()
    office.world.session(office.device, expires=START + 60)
    snapshot = verify_snapshot(
        office.snapshot_of(office.device), keys=office.keys, issuer="ctl_test", device=office.device, now=NOW
    )
    assert snapshot.not_after == START + 60
    assert snapshot.session == office.world.state.session_of[office.device]


def test_a_service_account_has_a_snapshot_without_a_session() -> None:
    office = Signed()
    account = office.world.service_account()
    device = office.world.device(account)
    token = office.snapshot_of(device)
    snapshot = verify_snapshot(token, keys=office.keys, issuer="ctl_test", device=device, now=NOW)
    assert (snapshot.user, snapshot.user_kind, snapshot.session) == (account, "service", "")
    assert snapshot.acl == Acl()


def test_a_config_holds_its_network_tickets_for_enrolled_relays_and_cut_offs() -> None:
    office = Signed()
    office.world.resource(office.other)
    office.world.do(c.ChangeNetworkEgress(office.network, ("169.254.169.254",)))
    cutoff = Cutoff(office.device, office.resource, START, "access_revoked")
    connector = office.world.state.connectors[office.connector_id]
    token = office.signer.config(office.head, connector, [cutoff], NOW)
    config = verify_config(token, keys=office.keys, issuer="ctl_test", connector=connector.id, now=NOW)
    assert config.acl == config_acl(office.world.state, connector.id)
    assert [entry.resource.id for entry in config.acl.entries] == [office.resource]
    assert (config.cutoffs, config.egress_allow) == ((cutoff,), ("169.254.169.254",))
    assert config.not_after == START + 1 + CONFIG_LIFE_S
    (relay,) = config.relays
    assert (relay.relay, relay.fqdn, relay.port) == (office.relay, "relay.example", 8443)
    ticket = verify_ticket(relay.ticket, keys=office.keys, issuer="ctl_test", relay=office.relay, now=NOW)
    assert (ticket.role, ticket.connector_hash) == ("connector", relay_hash(connector.id))
    assert ticket.expires == START + 1 + CONNECTOR_TICKET_LIFE_S


def test_an_authorisation_holds_paths_with_client_tickets() -> None:
    office = Signed()
    state = office.world.state
    hop = Hop(state.connectors[office.connector_id], (PIN,), state.relays[office.relay])
    token = office.signer.authorisation(office.head, office.subject, office.resource, [hop], NOW)
    found = verify_authorisation(token, keys=office.keys, issuer="ctl_test", device=office.device, now=NOW)
    (path,) = found.paths
    assert (found.resource, path.connector, path.pins) == (office.resource, office.connector_id, (PIN,))
    ticket = verify_ticket(path.ticket, keys=office.keys, issuer="ctl_test", relay=office.relay, now=NOW)
    assert (ticket.role, ticket.connector_hash) == ("client", path.connector_hash)
    assert ticket.expires == START + 1 + CLIENT_TICKET_LIFE_S


def test_however_many_ask_in_one_second_the_relay_takes_them_all() -> None:
    office = Signed()
    state = office.world.state
    hop = Hop(state.connectors[office.connector_id], (PIN,), state.relays[office.relay])
    clients, hashed = range(2, 2 + 3 * CONNECTIONS_PER_TICKET), relay_hash(office.connector_id)
    registry = Registry()
    registry.attach(ConnectionNumber(1), hashed)
    for client in clients:
        token = office.signer.authorisation(office.head, office.subject, office.resource, [hop], NOW)
        found = verify_authorisation(token, keys=office.keys, issuer="ctl_test", device=office.device, now=NOW)
        registry.connect(ConnectionNumber(client), hashed, found.paths[0].ticket, NOW)
        registry.park(ConnectionNumber(1000 + client), hashed)
    commands = []
    while (command := registry.next_command()) is not None:
        commands.append(command)
    assert not [command for command in commands if isinstance(command, Refuse)]
    assert [command.client for command in commands if isinstance(command, Pair)] == list(clients)


def test_a_device_that_asks_again_gets_its_ticket_again_and_nobody_elses() -> None:
    office = Signed()
    other = office.world.laptop(office.user)
    state = office.world.state
    hop = Hop(state.connectors[office.connector_id], (PIN,), state.relays[office.relay])

    def asked(device: DeviceId, now: float) -> Authorisation:
        subject = subject_of_device(state, device, now)
        assert isinstance(subject, Subject)
        token = office.signer.authorisation(office.head, subject, office.resource, [hop], now)
        return verify_authorisation(token, keys=office.keys, issuer="ctl_test", device=device, now=now)

    first, again, later = asked(office.device, NOW), asked(office.device, NOW + 5), asked(office.device, NOW + AGAIN_S)
    assert first.paths == again.paths
    assert asked(other, NOW + 5).paths[0].ticket != first.paths[0].ticket
    assert later.paths[0].ticket != first.paths[0].ticket
    assert (first.expires, again.expires) == (START + 1 + CLIENT_TICKET_LIFE_S,) * 2
    assert later.expires == START + 1 + AGAIN_S + CLIENT_TICKET_LIFE_S


def test_t64_no_ticket_of_a_key_that_is_not_the_signing_one_any_more_is_given_again() -> None:
    office = Signed()
    state = office.world.state
    hop = Hop(state.connectors[office.connector_id], (PIN,), state.relays[office.relay])

    def ticket() -> str:
        token = office.signer.authorisation(office.head, office.subject, office.resource, [hop], NOW)
        keys = VerificationKeys.of(*office.ring.keys.values())
        found = verify_authorisation(token, keys=keys, issuer="ctl_test", device=office.device, now=NOW)
        return found.paths[0].ticket

    before = ticket()
    fresh = office.add_key()
    office.world.do(c.ActivateSigningKey(fresh))
    after = ticket()
    verify_ticket(
        after, keys=VerificationKeys.of(office.ring.keys[fresh]), issuer="ctl_test", relay=office.relay, now=NOW
    )
    assert after != before


def test_an_access_token_holds_only_what_lies_behind_its_connector() -> None:
    office = Signed()
    elsewhere = office.world.resource(office.other)
    office.world.grant(office.user, elsewhere)
    _, key = private_key()
    connector = office.world.state.connectors[office.connector_id]
    token = office.signer.access(office.head, office.subject, connector, key.to_jwk(), NOW, not_before=0)
    access = verify_access(token, keys=office.keys, issuer="ctl_test", connector=connector.id, now=NOW)
    assert [entry.resource.id for entry in access.acl.entries] == [office.resource]
    assert access.grants == (office.grant,)
    assert (access.device, access.user, dict(access.jwk)) == (office.device, office.user, key.to_jwk())
    assert access.expires == access.issued_at + ACCESS_LIFE_S == START + 1 + ACCESS_LIFE_S
    assert access.expires < FAR


def test_an_access_token_does_not_fall_under_an_older_cut_off_of_the_same_second() -> None:
    office = Signed()
    _, key = private_key()
    connector = office.world.state.connectors[office.connector_id]
    token = office.signer.access(office.head, office.subject, connector, key.to_jwk(), NOW, not_before=START + 2)
    access = verify_access(token, keys=office.keys, issuer="ctl_test", connector=connector.id, now=NOW)
    assert access.issued_at == START + 2


def test_no_access_token_without_anything_to_reach() -> None:
    office = Signed()
    connector = office.world.connector(office.other)
    plant = office.world.state.connectors[connector]
    _, key = private_key()
    with pytest.raises(RefusedError) as refused:
        office.signer.access(office.head, office.subject, plant, key.to_jwk(), NOW, not_before=0)
    assert refused.value.reason is Reason.NO_GRANT


def test_a_relay_gets_the_keys_and_the_controllers_ticket() -> None:
    office = Signed()
    office.add_key()
    relay = office.world.state.relays[office.relay]
    token = office.signer.keyset(office.world.state, relay, NOW)
    keyset = verify_keyset(token, keys=office.keys, issuer="ctl_test", relay=relay.id, now=NOW)
    assert len(VerificationKeys.from_jwks_untrusted(keyset.jwks).keys) == 2
    ticket = verify_ticket(
        office.signer.controller_ticket(office.world.state, relay, NOW),
        keys=office.keys,
        issuer="ctl_test",
        relay=relay.id,
        now=NOW,
    )
    assert (ticket.role, ticket.connector_hash) == ("controller", None)


def test_t64_nothing_is_signed_by_a_distrusted_key() -> None:
    office = Signed()
    office.world.do(c.DistrustSigningKey(office.kid))
    with pytest.raises(RefusedError):
        office.signer.config(office.head, office.world.state.connectors[ConnectorId(office.connector_id)], [], NOW)
    assert not office.keys.keys
