"""Fan-out: only whom it touches, cut-offs first, latest wins, time acts by itself (C22, C23; T-36)."""

import asyncio
from dataclasses import dataclass

import pytest
from policy_world import PIN, START, fresh_key
from publish_office import Office, Peer

from controller.domain import commands as c
from controller.publish import hub as hub_module
from controller.store import feed as feed_module
from protocol.control import Goodbye, Message, PushConfig, PushSnapshot, Revoke, Revoked
from protocol.control_keys import KeysChanged
from protocol.ids import ConnectorId, DeviceId, Epoch, GrantId, GroupId, NetworkId, ResourceId, Revision, UserId
from protocol.limits import ACCESS_LIFE_S, CONNECTOR_TICKET_LIFE_S
from protocol.tokens.claims import Config, Snapshot
from protocol.tokens.jws import Kind, unverified_key_id
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.verify import verify_config, verify_snapshot


@dataclass
class Company:
    """Two laptops, two networks with a connector each; the first laptop may reach a resource of the first network."""

    office: Office
    user: UserId
    laptop: DeviceId
    other_laptop: DeviceId
    group: GroupId
    network: NetworkId
    other_network: NetworkId
    connector: ConnectorId
    other_connector: ConnectorId
    resource: ResourceId
    grant: GrantId

    @classmethod
    def make(cls) -> "Company":
        office = Office()
        world = office.world
        user, other = world.user(), world.user()
        network, other_network = world.network(), world.network()
        resource = world.resource(network)
        group = world.group()
        company = cls(
            office,
            user,
            world.laptop(user),
            world.laptop(other),
            group,
            network,
            other_network,
            world.connector(network),
            world.connector(other_network),
            resource,
            world.grant(user, resource),
        )
        office.commit()
        office.clock.advance(3600)
        world.now_ms = int(office.clock.wall() * 1000)
        office.restart()
        return company

    def snapshot(self, message: Message) -> Snapshot:
        assert isinstance(message, PushSnapshot), message
        now = self.office.clock.wall()
        return verify_snapshot(message.token, keys=self.office.keys, issuer="ctl_test", device=self.laptop, now=now)

    def config(self, message: Message) -> Config:
        assert isinstance(message, PushConfig), message
        now = self.office.clock.wall()
        return verify_config(message.token, keys=self.office.keys, issuer="ctl_test", connector=self.connector, now=now)


async def settled(office: Office) -> None:
    """Lets the hub take in what was committed: a change that touches a witness comes out last."""
    witness = office.world.device(office.world.service_account())
    office.commit()
    peer = office.client(witness)
    peer.take_all()
    account = office.world.state.devices[witness].owner.id
    office.give(c.DisableServiceAccount(account))  # type: ignore[arg-type]
    assert isinstance((await peer.next())[-1], Revoked)


async def test_an_attached_agent_gets_its_token_at_once() -> None:
    company = Company.make()
    office = company.office
    (message,) = office.client(company.laptop).take_all()
    assert [entry.resource.id for entry in company.snapshot(message).acl.entries] == [company.resource]
    (message,) = office.connector(company.connector).take_all()
    assert company.config(message).network == company.network


async def test_only_those_whom_a_change_touches_are_told() -> None:
    company = Company.make()
    office = company.office
    peers = {
        "laptop": office.client(company.laptop),
        "other laptop": office.client(company.other_laptop),
        "connector": office.connector(company.connector),
        "other connector": office.connector(company.other_connector),
    }
    for peer in peers.values():
        peer.take_all()
    async with office.running():
        office.world.resource(company.network)
        office.commit()
        assert len(company.config((await peers["connector"].next())[0]).acl.entries) == 2
        office.world.grant(company.user, office.world.resource(company.other_network))
        office.commit()
        assert len(company.snapshot((await peers["laptop"].next())[0]).acl.entries) == 2
        await peers["other connector"].next()
        await settled(office)
        assert peers["other laptop"].take_all() == []
        assert peers["connector"].take_all() == []


async def test_many_changes_are_one_push_of_the_latest_state() -> None:
    company = Company.make()
    office = company.office
    peer = office.client(company.laptop)
    peer.take_all()
    async with office.running():
        for _ in range(50):
            office.world.grant(company.user, office.world.resource(company.network))
            office.commit()
        await settled(office)
        (message,) = peer.take_all()
        assert len(company.snapshot(message).acl.entries) == 51


async def test_t36_a_revocation_reaches_the_connector_before_everything_else() -> None:
    company = Company.make()
    office = company.office
    order: list[str] = []
    connector, laptop = office.connector(company.connector), office.client(company.laptop)
    elsewhere = office.connector(company.other_connector)
    for peer in (connector, laptop, elsewhere):
        peer.take_all()

    async def watch(name: str, peer: Peer) -> list[Message]:
        messages = await peer.next()
        order.append(name)
        return messages

    async with office.running():
        tasks = [
            asyncio.create_task(watch(name, peer)) for name, peer in (("laptop", laptop), ("connector", connector))
        ]
        office.give(c.RevokeGrant(company.grant))
        told_laptop, told_connector = await asyncio.gather(*tasks)
        assert order == ["connector", "laptop"]
        now = int(office.clock.wall())
        first = told_connector[0]
        assert isinstance(first, Revoke)
        (cutoff,) = first.cutoffs
        assert (cutoff.device, cutoff.resource, cutoff.reason) == (company.laptop, company.resource, "access_revoked")
        assert cutoff.before == now + 1 == office.hub.not_before(company.laptop)
        assert first.revision == office.head.position
        assert company.snapshot(told_laptop[0]).acl.entries == ()
        configs = [one for one in (*told_connector[1:], *connector.take_all()) if isinstance(one, PushConfig)]
        assert company.config((configs or await connector.next())[-1]).cutoffs == (cutoff,)
        await settled(office)
        assert elsewhere.take_all() == []


async def test_t36_every_way_to_lose_standing_cuts_the_device_off() -> None:
    for revoke, reason in (
        (lambda company: c.DisableUser(company.user), "user_disabled"),
        (lambda company: c.RemoveUser(company.user), "device_revoked"),
        (lambda company: c.RevokeDevice(company.laptop), "device_revoked"),
        (lambda company: c.EndSession(company.office.world.state.session_of[company.laptop]), "session_ended"),
    ):
        company = Company.make()
        office = company.office
        connector, laptop = office.connector(company.connector), office.client(company.laptop)
        connector.take_all()
        laptop.take_all()
        async with office.running():
            office.give(revoke(company))
            first = (await connector.next())[0]
            assert isinstance(first, Revoke)
            (cutoff,) = first.cutoffs
            assert (cutoff.device, cutoff.resource, cutoff.reason) == (company.laptop, None, reason)
            assert await laptop.next() == [Revoked(reason)]
            assert laptop.attachment.ended
            assert laptop.take_all() == []


async def test_what_was_given_and_taken_in_one_batch_is_cut_off_too() -> None:
    company = Company.make()
    office = company.office
    connector = office.connector(company.connector)
    connector.take_all()
    async with office.running():
        resource = office.world.resource(company.network)
        grant = office.world.grant(company.user, resource)
        office.give(c.RevokeGrant(grant))
        first = (await connector.next())[0]
        assert isinstance(first, Revoke)
        assert [cutoff.resource for cutoff in first.cutoffs] == [resource]


async def test_cut_offs_stay_in_configs_until_they_are_moot() -> None:
    company = Company.make()
    office = company.office
    async with office.running():
        office.give(c.RevokeGrant(company.grant))
        await settled(office)
    (message,) = office.connector(company.connector).take_all()
    assert len(company.config(message).cutoffs) == 1
    office.clock.advance(ACCESS_LIFE_S + 61)
    (message,) = office.connector(company.connector).take_all()
    assert company.config(message).cutoffs == ()


async def test_cut_offs_are_made_again_after_a_crash() -> None:
    company = Company.make()
    office = company.office
    office.give(c.RevokeGrant(company.grant))
    office.clock.advance(60)
    office.restart()
    (message,) = office.connector(company.connector).take_all()
    (cutoff,) = company.config(message).cutoffs
    assert cutoff.before < office.clock.wall()
    assert office.hub.not_before(company.laptop) == cutoff.before


async def test_cut_offs_that_do_not_fit_a_config_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "PER_CONFIG", 2)
    company = Company.make()
    office = company.office
    grants = [office.world.grant(company.user, office.world.resource(company.network)) for _ in range(5)]
    office.give(*(c.RevokeGrant(grant) for grant in grants))
    office.restart()
    config, revoke = office.connector(company.connector).take_all()
    assert len(company.config(config).cutoffs) == 2
    assert isinstance(revoke, Revoke)
    assert len(revoke.cutoffs) == 3
    assert revoke.revision > company.config(config).revision


async def test_a_grant_that_ends_is_acted_upon_in_time() -> None:
    company = Company.make()
    office = company.office
    end = int(office.clock.wall()) + 60
    office.world.do(c.RevokeGrant(company.grant))
    office.world.grant(company.user, company.resource, expires=end)
    office.commit()
    office.restart()
    connector, laptop = office.connector(company.connector), office.client(company.laptop)
    connector.take_all()
    assert company.snapshot(laptop.take_all()[0]).acl.entries[0].expires == end
    office.clock.advance(59)
    office.hub.tick()
    assert connector.take_all() == laptop.take_all() == []
    office.clock.advance(1)
    office.hub.tick()
    first = connector.take_all()[0]
    assert isinstance(first, Revoke)
    assert [(cutoff.resource, cutoff.reason) for cutoff in first.cutoffs] == [(company.resource, "grant_expired")]
    assert company.snapshot(laptop.take_all()[0]).acl.entries == ()


@pytest.mark.parametrize("first", ["for a while", "for good"])
async def test_t36_a_grant_for_good_moves_no_end_of_another(first: str) -> None:
    company = Company.make()
    office = company.office
    office.world.do(c.RevokeGrant(company.grant))
    office.commit()
    office.restart()
    end = int(office.clock.wall()) + 60
    ends = {"for a while": end, "for good": None}
    other = office.world.resource(company.network)
    async with office.running():
        connector, laptop = office.connector(company.connector), office.client(company.laptop)
        connector.take_all()
        laptop.take_all()
        for kind in sorted(ends, key=lambda kind: kind != first):
            resource = other if ends[kind] is None else company.resource
            office.world.grant(company.user, resource, expires=ends[kind])
            office.commit()
            await laptop.next()
        connector.take_all()
        office.clock.advance(60)
        office.hub.tick()
        revoke = connector.take_all()[0]
    assert isinstance(revoke, Revoke)
    assert [(cutoff.resource, cutoff.reason) for cutoff in revoke.cutoffs] == [(company.resource, "grant_expired")]
    (left,) = company.snapshot(laptop.take_all()[0]).acl.entries
    assert left.resource.id == other


async def test_a_session_that_ends_is_acted_upon_in_time() -> None:
    company = Company.make()
    office = company.office
    office.world.session(company.laptop, expires=int(office.clock.wall()) + 30)
    office.commit()
    office.restart()
    connector, laptop = office.connector(company.connector), office.client(company.laptop)
    connector.take_all()
    laptop.take_all()
    office.clock.advance(31)
    office.hub.tick()
    first = connector.take_all()[0]
    assert isinstance(first, Revoke)
    assert first.cutoffs[0].reason == "session_ended"
    assert laptop.take_all() == [Revoked("session_ended")]


async def test_tickets_are_renewed_before_they_expire() -> None:
    company = Company.make()
    office = company.office
    peer = office.connector(company.connector)
    peer.take_all()
    office.clock.advance(CONNECTOR_TICKET_LIFE_S / 2 + 1)
    office.hub.tick()
    assert isinstance(peer.take_all()[0], PushConfig)
    office.hub.tick()
    assert peer.take_all() == []


async def test_the_newest_connection_of_an_agent_wins() -> None:
    company = Company.make()
    first = company.office.client(company.laptop)
    first.take_all()
    second = company.office.client(company.laptop)
    (goodbye,) = first.take_all()
    assert isinstance(goodbye, Goodbye)
    assert goodbye.reason == "duplicate_agent"
    assert isinstance(second.take_all()[0], PushSnapshot)
    company.office.hub.detach(first.attachment)
    assert company.office.hub.is_attached(company.laptop)
    company.office.hub.detach(second.attachment)
    assert not company.office.hub.is_attached(company.laptop)


async def test_a_connector_that_was_enrolled_anew_ends_the_old_key() -> None:
    company = Company.make()
    office = company.office
    old = office.connector(company.connector)
    old.take_all()
    async with office.running():
        office.give(c.EnrolConnector(company.connector, fresh_key(), PIN))
        assert await old.next() == [Revoked("access_revoked")]


async def test_a_removed_connector_is_told_so() -> None:
    company = Company.make()
    peer = company.office.connector(company.connector)
    peer.take_all()
    async with company.office.running():
        company.office.give(c.RemoveConnector(company.connector))
        assert await peer.next() == [Revoked("access_revoked")]


async def test_a_client_that_missed_nothing_resumes() -> None:
    company = Company.make()
    office = company.office
    first = office.client(company.laptop)
    revision = company.snapshot(first.take_all()[0]).revision
    office.hub.acknowledge(company.laptop, Epoch(1), revision)
    office.hub.detach(first.attachment)
    resumed = office.client(company.laptop, revision=revision)
    assert resumed.take_all() == []
    assert office.hub.enforcement.line(company.laptop).pending_since is None
    office.hub.detach(resumed.attachment)
    async with office.running():
        office.give(c.RevokeGrant(company.grant))
        await settled(office)
        late = office.client(company.laptop, revision=revision)
        assert company.snapshot(late.take_all()[0]).acl.entries == ()
        assert company.laptop in office.hub.enforcement.outstanding(office.head.position)


async def test_the_table_says_who_enforces_what_since_when() -> None:
    company = Company.make()
    office = company.office
    connector, laptop = office.connector(company.connector), office.client(company.laptop)
    for peer in (connector, laptop):
        peer.take_all()
        office.hub.acknowledge(peer.attachment.agent, Epoch(1), office.head.position)
    async with office.running():
        office.give(c.RevokeGrant(company.grant))
        revision = office.head.position
        await connector.next()
        await laptop.next()
        table = office.hub.enforcement
        assert set(table.outstanding(revision)) == {company.connector, company.laptop}
        assert table.outstanding(Revision(revision - 1)) == ()
        office.clock.advance(2)
        office.hub.acknowledge(company.connector, Epoch(1), revision)
        assert table.outstanding(revision) == (company.laptop,)
        line = table.line(company.connector)
        assert (line.revision, line.since) == (revision, office.clock.wall())


async def test_t64_new_keys_are_told_before_they_sign_and_nobody_has_to_come_again() -> None:
    company = Company.make()
    office = company.office
    peers = office.client(company.laptop), office.connector(company.connector)
    for peer in peers:
        peer.take_all()
    async with office.running():
        added = office.add_key()
        office.commit()
        for peer in peers:
            (told,) = await peer.next()
            assert isinstance(told, KeysChanged)
            assert added in VerificationKeys.from_jwks_untrusted(told.jwks).keys
        office.world.do(c.ActivateSigningKey(added))
        office.world.resource(company.network)
        office.commit()
        (config,) = await peers[1].next()
        assert company.config(config)


async def test_t64_an_agent_that_was_welcomed_before_a_new_key_is_told_when_it_is_attached() -> None:
    company = Company.make()
    office = company.office
    before = office.head.position
    async with office.running():
        office.add_key()
        office.commit()
        await settled(office)
        late = office.client(company.laptop, welcomed=before)
        assert isinstance(late.take_all()[0], KeysChanged)


async def test_t64_f22_a_distrusted_key_is_told_first_and_everything_is_signed_anew() -> None:
    company = Company.make()
    office = company.office
    following = office.add_key()
    office.commit()
    peers = office.client(company.laptop), office.connector(company.connector)
    for peer in peers:
        peer.take_all()
    async with office.running():
        office.give(c.ActivateSigningKey(following), c.DistrustSigningKey(office.kid))
        for peer in peers:
            told, *more = await peer.next()
            (token,) = more or await peer.next()
            assert isinstance(told, KeysChanged)
            assert set(VerificationKeys.from_jwks_untrusted(told.jwks).keys) == {following}
            assert isinstance(token, PushSnapshot | PushConfig)
            kind = Kind.SNAPSHOT if isinstance(token, PushSnapshot) else Kind.CONFIG
            assert unverified_key_id(kind, token.token) == following


async def test_f23_a_new_enrolment_makes_clients_ask_again() -> None:
    """Their next access token names the new certificate only, and so ends the tunnels to the former key."""
    company = Company.make()
    office = company.office
    laptop, connector = office.client(company.laptop), office.connector(company.connector)
    for peer in (laptop, connector):
        peer.take_all()
    async with office.running():
        office.give(c.EnrolConnector(company.connector, fresh_key(), PIN))
        (ended,) = await connector.next()
        assert isinstance(ended, Revoked)
        assert isinstance((await laptop.next())[0], PushSnapshot)


async def test_without_a_signing_key_agents_wait_for_one() -> None:
    company = Company.make()
    office = company.office
    key = office.ring.keys.pop(office.kid)
    peer = office.client(company.laptop)
    assert peer.take_all() == []
    office.ring.keys[office.kid] = key
    office.clock.advance(1)
    office.hub.tick()
    assert isinstance(peer.take_all()[0], PushSnapshot)


async def test_a_raised_epoch_renews_everything() -> None:
    company = Company.make()
    office = company.office
    peers = [office.client(company.laptop), office.client(company.other_laptop), office.connector(company.connector)]
    for peer in peers:
        peer.take_all()
    async with office.running():
        office.give(c.RaiseEpoch(Epoch(2)))
        for peer in peers:
            assert isinstance((await peer.next())[0], PushSnapshot | PushConfig)


async def test_a_hub_that_fell_behind_starts_over_without_losing_a_revocation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "HISTORY", 4)
    company = Company.make()
    office = company.office
    office.restart()
    small = feed_module.Feed(office.head)
    office.feed = small
    office.restart()
    connector, laptop = office.connector(company.connector), office.client(company.laptop)
    connector.take_all()
    laptop.take_all()
    office.world.do(c.RevokeGrant(company.grant))
    for _ in range(10):
        office.world.network()
    office.commit()
    async with office.running():
        messages = await connector.next()
        assert isinstance(messages[0], Revoke)
        assert [cutoff.device for cutoff in messages[0].cutoffs] == [company.laptop]
        assert company.snapshot((await laptop.next())[0]).acl.entries == ()


async def test_a_connector_that_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.publish.attachment.CUTOFFS_MAX", 2)
    company = Company.make()
    office = company.office
    grants = [office.world.grant(company.user, office.world.resource(company.network)) for _ in range(4)]
    office.commit()
    office.restart()
    peer = office.connector(company.connector)
    peer.take_all()
    async with office.running():
        office.give(*(c.RevokeGrant(grant) for grant in grants))
        await settled(office)
        last = peer.take_all()[-1]
        assert isinstance(last, Goodbye)
        assert last.reason == "limit_exceeded"


def test_the_clock_of_these_tests_starts_with_the_world() -> None:
    assert Office().clock.wall() == START


async def test_who_took_a_newer_token_meanwhile_is_not_told_twice() -> None:
    company = Company.make()
    office = company.office
    office.give(c.RevokeGrant(company.grant))
    peer = office.client(company.laptop)
    revision = company.snapshot(peer.take_all()[0]).revision
    assert revision == office.head.position
    office.hub.acknowledge(company.laptop, Epoch(1), revision)
    async with office.running():
        await settled(office)
        assert peer.take_all() == []
        assert office.hub.enforcement.line(company.laptop).pending_since is None
