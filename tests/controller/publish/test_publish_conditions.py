"""Conditions that flip revoke by themselves: cut-offs first, new snapshots, nothing that outlives the flip (C23; T-36)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest
from policy_world import START
from publish_office import Office, Peer, private_key

from controller.domain.commands_policies import ChangePolicy, ReportDeviceFacts, TrustDevice, UntrustDevice
from controller.domain.conditions import Conditions
from controller.domain.evaluate import Subject, subject_of_device
from controller.domain.hours import Hours, Window
from controller.publish.places import PLACE_KEEP_S, Places
from protocol.acl.model import Deny, Entry
from protocol.control import Cutoff, Message, PushSnapshot, Revoke
from protocol.device_facts import DeviceFacts
from protocol.errors import RefusedError
from protocol.ids import ConnectorId, DeviceId, NetworkId, PolicyId, ResourceId, UserId
from protocol.reasons import Reason
from protocol.tokens.verify import verify_access, verify_snapshot

BEGIN = START + 3600
"""When the company comes to work: a Friday, 09:00 in UTC."""
INSIDE, OUTSIDE = "192.0.2.7", "198.51.100.7"


@dataclass
class Company:
    """A laptop with one conditional grant in a network with one connector; the hub is new and nobody is attached."""

    conditions: Conditions
    trusted: bool = False
    mfa_s: int | None = None
    office: Office = field(default_factory=Office)

    def __post_init__(self) -> None:
        world = self.office.world
        self.user: UserId = world.user()
        self.laptop: DeviceId = world.device(self.user)
        self.network: NetworkId = world.network()
        self.resource: ResourceId = world.resource(self.network)
        self.connector_id: ConnectorId = world.connector(self.network)
        self.policy: PolicyId = world.policy(self.conditions)
        world.grant(self.user, self.resource, policy=self.policy)
        self.office.clock.advance(BEGIN - self.office.clock.wall())
        world.now_ms = BEGIN * 1000
        world.session(self.laptop, mfa_s=self.mfa_s)
        if self.trusted:
            world.do(TrustDevice(self.laptop))
        self.office.commit()
        self.office.restart()
        self.connector: Peer = self.office.connector(self.connector_id)
        self.connector.take_all()

    @property
    def now(self) -> float:
        return self.office.clock.wall()

    def at(self, moment: float) -> None:
        """The clock shows ``moment``, and the hub looks at it."""
        self.office.clock.advance(moment - self.now)
        self.office.hub.tick()

    def entries(self, message: Message) -> tuple[Entry, ...]:
        assert isinstance(message, PushSnapshot), message
        keys = self.office.keys
        return verify_snapshot(
            message.token, keys=keys, issuer="ctl_test", device=self.laptop, now=self.now
        ).acl.entries

    def access(self) -> tuple[Entry, ...]:
        """What a fresh access token allows."""
        head, hub = self.office.head, self.office.hub
        subject = subject_of_device(head.state, self.laptop, self.now)
        assert isinstance(subject, Subject)
        connector = head.state.connectors[self.connector_id]
        assert connector.key is not None
        jwk = private_key()[1].to_jwk()
        try:
            token = self.office.signer.access(
                head,
                subject,
                connector,
                jwk,
                self.now,
                not_before=hub.not_before(self.laptop),
                source=hub.place_of(self.laptop),
            )
        except RefusedError:
            return ()
        claims = verify_access(
            token, keys=self.office.keys, issuer="ctl_test", connector=self.connector_id, now=self.now
        )
        return claims.acl.entries

    def cut_offs(self) -> list[Cutoff]:
        """What the connector was just told to end."""
        messages = self.connector.take_all()
        return [cutoff for message in messages if isinstance(message, Revoke) for cutoff in message.cutoffs]


def ends(company: Company) -> Callable[[Message], list[int | None]]:
    return lambda message: [entry.expires for entry in company.entries(message)]


@pytest.mark.parametrize(
    ("conditions", "flip", "reason"),
    [
        (Conditions(hours=Hours("UTC", (Window((5,), 540, 600),))), BEGIN + 3600, Reason.OUTSIDE_HOURS),
        (Conditions(hours=Hours("Asia/Kolkata", (Window((5,), 840, 930),))), BEGIN + 3600, Reason.OUTSIDE_HOURS),
        (Conditions(sign_in_max_age_s=600), BEGIN + 600, Reason.SIGN_IN_TOO_OLD),
        (Conditions(mfa_max_age_s=300), BEGIN + 300, Reason.MFA_REQUIRED),
        (Conditions(mfa_max_age_s=300, sign_in_max_age_s=600), BEGIN + 300, Reason.MFA_REQUIRED),
    ],
)
async def test_t36_a_condition_that_flips_cuts_off_on_time(conditions: Conditions, flip: int, reason: Reason) -> None:
    company = Company(conditions, mfa_s=BEGIN)
    laptop = company.office.client(company.laptop)
    (message,) = laptop.take_all()
    assert ends(company)(message) == [flip]
    company.at(flip - 1)
    assert [entry.expires for entry in company.access()] == [flip]
    assert (company.cut_offs(), laptop.take_all()) == ([], [])
    company.at(flip)
    (cutoff,) = company.cut_offs()
    assert (cutoff.device, cutoff.resource, cutoff.reason) == (company.laptop, company.resource, reason.code)
    assert cutoff.before == flip + 1
    (message,) = laptop.take_all()
    assert company.entries(message) == company.access() == ()


async def test_hours_open_again_by_themselves() -> None:
    company = Company(Conditions(hours=Hours("UTC", (Window((5,), 540, 600), Window((5,), 660, 720)))))
    laptop = company.office.client(company.laptop)
    laptop.take_all()
    company.at(BEGIN + 3600)
    laptop.take_all()
    company.at(BEGIN + 7200)
    (message,) = laptop.take_all()
    assert ends(company)(message) == [BEGIN + 3 * 3600]
    assert len(company.access()) == 1


async def test_t36_facts_decay_and_a_report_in_time_keeps_them() -> None:
    company = Company(Conditions(disk_encrypted=True, facts_max_age_s=1800))
    good = DeviceFacts(disk_encrypted=True)
    office = company.office
    office.give(ReportDeviceFacts(company.laptop, good, BEGIN))
    office.restart()
    company.connector = office.connector(company.connector_id)
    company.connector.take_all()
    laptop = office.client(company.laptop)
    (message,) = laptop.take_all()
    assert ends(company)(message) == [BEGIN + 1800]
    async with office.running():
        office.clock.advance(900)
        office.give(ReportDeviceFacts(company.laptop, good, BEGIN + 900))
        assert ends(company)((await laptop.next())[-1]) == [BEGIN + 2700]
    company.at(BEGIN + 1800)
    assert company.cut_offs() == []
    company.at(BEGIN + 2700)
    (cutoff,) = company.cut_offs()
    assert cutoff.reason == "posture_unknown"


@pytest.mark.parametrize("how", ["untrusted", "worse facts", "changed policy", "exclusion", "joined group"])
async def test_t36_what_an_event_takes_from_the_conditions_is_cut_off(how: str) -> None:
    company = Company(Conditions(device_trusted=True), trusted=True)
    office, world = company.office, company.office.world
    laptop = office.client(company.laptop)
    (message,) = laptop.take_all()
    assert len(company.entries(message)) == 1
    expected = {"exclusion": "excluded", "joined group": "excluded", "worse facts": "posture_failed"}
    async with office.running():
        match how:
            case "untrusted":
                office.give(UntrustDevice(company.laptop))
            case "worse facts":
                office.give(ReportDeviceFacts(company.laptop, DeviceFacts(firewall=True), BEGIN))
                office.give(ChangePolicy(company.policy, conditions=Conditions(firewall=True)))
                office.give(ReportDeviceFacts(company.laptop, DeviceFacts(firewall=False), BEGIN))
            case "changed policy":
                office.give(ChangePolicy(company.policy, conditions=Conditions(mfa_max_age_s=60)))
                expected[how] = "mfa_required"
            case "exclusion":
                world.exclusion(company.user, company.resource)
                office.commit()
            case "joined group":
                group = world.group()
                world.exclusion(group, company.resource)
                world.group_member(group, company.user)
                office.commit()
        first = (await company.connector.next())[0]
        assert isinstance(first, Revoke)
        assert [(cutoff.resource, cutoff.reason) for cutoff in first.cutoffs] == [
            (company.resource, expected.get(how, "device_not_trusted"))
        ]
        snapshots = await laptop.next()
        while company.entries(snapshots[-1]):
            snapshots = await laptop.next()


async def test_an_exclusion_that_ends_gives_back() -> None:
    company = Company(Conditions(device_trusted=True), trusted=True)
    office = company.office
    office.world.exclusion(company.user, company.resource, expires=BEGIN + 60)
    office.commit()
    office.restart()
    laptop = office.client(company.laptop)
    (message,) = laptop.take_all()
    assert company.entries(message) == ()
    company.at(BEGIN + 60)
    (message,) = laptop.take_all()
    assert len(company.entries(message)) == 1


# --- places ----------------------------------------------------------------------------------------------------------

OFFICE_ONLY = Conditions(sources=("192.0.2.0/24",))


async def test_t36_coming_from_elsewhere_cuts_off_and_coming_back_does_not() -> None:
    company = Company(OFFICE_ONLY)
    office = company.office
    laptop = office.client(company.laptop, address=INSIDE)
    (message,) = laptop.take_all()
    assert len(company.entries(message)) == len(company.access()) == 1
    again = office.client(company.laptop, address=INSIDE)
    assert company.cut_offs() == []
    elsewhere = office.client(company.laptop, address=OUTSIDE, revision=office.head.position)
    (cutoff,) = company.cut_offs()
    assert (cutoff.resource, cutoff.reason) == (company.resource, "source_not_allowed")
    (message,) = elsewhere.take_all()
    assert company.entries(message) == company.access() == ()
    office.hub.detach(again.attachment)
    office.hub.detach(laptop.attachment)
    assert office.hub.place_of(company.laptop) is not None


async def test_t36_who_is_gone_for_long_is_nowhere() -> None:
    company = Company(OFFICE_ONLY)
    office = company.office
    laptop = office.client(company.laptop, address=INSIDE)
    laptop.take_all()
    office.hub.detach(laptop.attachment)
    company.at(BEGIN + PLACE_KEEP_S - 1)
    assert company.cut_offs() == []
    company.at(BEGIN + PLACE_KEEP_S)
    (cutoff,) = company.cut_offs()
    assert cutoff.reason == "source_not_allowed"
    assert office.hub.place_of(company.laptop) is None


async def test_after_a_restart_what_is_open_waits_for_its_device_but_not_for_ever() -> None:
    for address, moment in ((OUTSIDE, BEGIN + 1), (None, BEGIN + PLACE_KEEP_S)):
        company = Company(OFFICE_ONLY)
        company.at(BEGIN + 1)
        assert company.cut_offs() == []
        if address is not None:
            (message,) = company.office.client(company.laptop, address=address).take_all()
            assert company.entries(message) == ()
        company.at(moment)
        (cutoff,) = company.cut_offs()
        assert cutoff.reason == "source_not_allowed"


async def test_a_place_matters_only_to_those_whom_a_policy_asks() -> None:
    company = Company(Conditions(device_trusted=True), trusted=True)
    office = company.office
    laptop = office.client(company.laptop, address=INSIDE)
    laptop.take_all()
    office.hub.detach(laptop.attachment)
    back = office.client(company.laptop, address=OUTSIDE, revision=office.head.position)
    assert (back.take_all(), company.cut_offs()) == ([], [])


async def test_a_client_whose_address_is_unknown_is_in_no_place() -> None:
    company = Company(OFFICE_ONLY)
    (message,) = company.office.client(company.laptop).take_all()
    assert company.entries(message) == ()
    standing = subject_of_device(company.office.head.state, company.laptop, company.now)
    assert not isinstance(standing, Deny)


@pytest.mark.parametrize(
    "what", ["nothing", "another leaves", "an event", "it leaves elsewhere", "an event that loses it", "it comes back"]
)
async def test_t36_what_happens_before_the_clock_is_looked_at_keeps_no_place_alive(what: str) -> None:
    company = Company(OFFICE_ONLY)
    office = company.office
    laptop = office.client(company.laptop, address=INSIDE)
    laptop.take_all()
    other = office.client(office.world.device(company.user), address=INSIDE)
    company.at(BEGIN + 2 * PLACE_KEEP_S)
    company.connector.take_all()
    office.hub.detach(laptop.attachment)
    async with office.running():
        await asyncio.sleep(0.05)
        office.clock.advance(PLACE_KEEP_S + 0.2)
        happens(company, other, what)
        messages = await company.connector.next()
    (first, *_) = [cutoff for message in messages if isinstance(message, Revoke) for cutoff in message.cutoffs]
    assert (first.device, first.resource) == (company.laptop, company.resource)
    assert first.reason == ("device_not_trusted" if what == "an event that loses it" else "source_not_allowed")


def happens(company: Company, other: Peer, what: str) -> None:
    """What the parameter says."""
    office = company.office
    match what:
        case "nothing":
            office.hub.tick()
        case "another leaves":
            office.hub.detach(other.attachment)
        case "an event":
            office.world.grant(company.user, office.world.resource(company.network))
            office.commit()
        case "it leaves elsewhere":
            office.hub.left_elsewhere(company.laptop)
        case "an event that loses it":
            office.give(ChangePolicy(company.policy, conditions=Conditions(device_trusted=True)))
        case "it comes back":
            office.client(company.laptop, address=OUTSIDE)


async def test_t36_what_time_has_just_given_is_cut_off_by_an_event_at_once() -> None:
    company = Company(Conditions(hours=Hours("UTC", (Window((5,), 545, 600),))))
    office = company.office
    office.client(company.laptop, address=INSIDE).take_all()
    async with office.running():
        await asyncio.sleep(0.05)
        office.clock.advance(300.2)
        assert len(company.access()) == 1
        office.give(ChangePolicy(company.policy, conditions=Conditions(device_trusted=True)))
        messages = await company.connector.next()
    cutoffs = [cutoff for message in messages if isinstance(message, Revoke) for cutoff in message.cutoffs]
    assert [cutoff.reason for cutoff in cutoffs] == ["device_not_trusted"]


async def test_who_is_back_in_an_allowed_place_in_the_last_moment_loses_nothing() -> None:
    company = Company(OFFICE_ONLY)
    office = company.office
    laptop = office.client(company.laptop, address=INSIDE)
    laptop.take_all()
    office.hub.detach(laptop.attachment)
    office.clock.advance(PLACE_KEEP_S + 0.2)
    back = office.client(company.laptop, address=INSIDE, revision=office.head.position)
    office.hub.tick()
    assert company.cut_offs() == []
    (message,) = back.take_all()
    assert len(company.entries(message)) == 1


async def test_places_that_do_not_count_any_more_are_forgotten() -> None:
    places = Places(BEGIN)
    for number in range(3):
        device = DeviceId(f"dev_{number}")
        places.arrived(device, ip_address(INSIDE))
        places.left(device, BEGIN + number)
    places.forget(BEGIN + PLACE_KEEP_S + 1)
    assert [places.known_until(DeviceId(f"dev_{number}")) for number in range(3)] == [
        BEGIN + PLACE_KEEP_S,
        BEGIN + PLACE_KEEP_S,
        BEGIN + PLACE_KEEP_S + 2,
    ]
