"""The evaluator with policies and exclusions: what holds, until when, what is missing, and that an exclusion beats all."""

from ipaddress import ip_address

import pytest
from policy_world import FAR, START, World

from controller.domain import commands as c
from controller.domain.commands_policies import (
    ChangePolicy,
    RemoveExclusion,
    ReportDeviceFacts,
    TrustDevice,
    UntrustDevice,
)
from controller.domain.conditions import Assumed, Conditions, Source
from controller.domain.evaluate import acl_for_device, explain, may_reach, next_change_at
from controller.domain.hours import Hours, Window
from protocol.acl.model import Acl, Deny, Entry, Permit, Request, Transport
from protocol.device_facts import DeviceFacts
from protocol.ids import DeviceId, PolicyId, ResourceId, UserId
from protocol.reasons import Reason

NOW = float(START)
HTTPS = Request("web.internal", Transport.TCP, 443)
OFFICE = Conditions(hours=Hours("UTC", (Window((1, 2, 3, 4, 5), 8 * 60, 18 * 60),)))
"""The worlds begin on a Friday at 08:00 in UTC."""
CLOSES = START + 10 * 3600
OPENS = START + 3 * 24 * 3600


class Web:
    """One laptop and one resource; grants are given by the tests."""

    def __init__(self) -> None:
        self.world = World()
        self.user: UserId = self.world.user()
        self.device: DeviceId = self.world.laptop(self.user)
        self.resource: ResourceId = self.world.resource(self.world.network(), "web.internal", name="web")

    def grant(self, conditions: Conditions | None = None, expires: int | None = None) -> PolicyId | None:
        policy = self.world.policy(conditions) if conditions is not None else None
        self.world.grant(self.user, self.resource, policy=policy, expires=expires)
        return policy

    def reach(self, now: float = NOW, source: Source = None) -> Entry | Deny:
        return may_reach(self.world.state, self.device, self.resource, now, source=source)

    def until(self, now: float = NOW, source: Source = None) -> int | None:
        (entry,) = acl_for_device(self.world.state, self.device, now, source=source).entries
        return entry.expires

    def next(self, now: float = NOW, source: Source = None) -> int | None:
        return next_change_at(self.world.state, self.device, now, source=source)


def test_an_entry_ends_with_the_first_condition_that_will_not_hold() -> None:
    web = Web()
    web.grant(OFFICE)
    assert web.until() == CLOSES == web.next()
    assert web.reach(CLOSES) == Deny(Reason.OUTSIDE_HOURS, web.resource)
    assert acl_for_device(web.world.state, web.device, CLOSES) == Acl()
    assert web.next(CLOSES) == OPENS
    assert isinstance(web.reach(OPENS), Entry)


def test_an_entry_ends_with_its_grant_when_that_is_first() -> None:
    web = Web()
    web.grant(OFFICE, expires=START + 60)
    assert web.until() == START + 60
    assert web.reach(START + 60) == Deny(Reason.GRANT_EXPIRED, web.resource)


def test_of_several_grants_the_longest_counts() -> None:
    web = Web()
    web.grant(OFFICE)
    web.grant(Conditions(sign_in_max_age_s=3600))
    assert web.until() == CLOSES
    assert web.next() == START + 3600
    web.grant()
    assert web.until() is None
    assert isinstance(web.reach(CLOSES), Entry)


def test_a_sign_in_grows_old_and_a_new_one_is_young() -> None:
    web = Web()
    web.grant(Conditions(sign_in_max_age_s=3600))
    assert web.until() == START + 3600
    assert web.reach(START + 3600) == Deny(Reason.SIGN_IN_TOO_OLD, web.resource)
    web.world.session(web.device, authenticated_s=START + 3600)
    assert web.until(START + 3600) == START + 7200


def test_a_second_factor_belongs_to_the_session() -> None:
    web = Web()
    web.grant(Conditions(mfa_max_age_s=600))
    assert web.reach() == Deny(Reason.MFA_REQUIRED, web.resource)
    assert web.next() == FAR
    web.world.session(web.device, mfa_s=START)
    assert web.until() == START + 600
    web.world.session(web.device)
    assert web.reach() == Deny(Reason.MFA_REQUIRED, web.resource)


def test_trust_is_given_and_taken() -> None:
    web = Web()
    web.grant(Conditions(device_trusted=True))
    assert web.reach() == Deny(Reason.DEVICE_NOT_TRUSTED, web.resource)
    web.world.do(TrustDevice(web.device))
    assert isinstance(web.reach(), Entry)
    web.world.do(UntrustDevice(web.device))
    assert isinstance(web.reach(), Deny)


def test_a_report_counts_for_its_time() -> None:
    web = Web()
    web.grant(Conditions(disk_encrypted=True, facts_max_age_s=1800))
    assert web.reach() == Deny(Reason.POSTURE_UNKNOWN, web.resource)
    web.world.do(ReportDeviceFacts(web.device, DeviceFacts(disk_encrypted=True), START))
    assert web.until() == START + 1800 == web.next()
    assert web.reach(START + 1800) == Deny(Reason.POSTURE_UNKNOWN, web.resource)
    web.world.do(ReportDeviceFacts(web.device, DeviceFacts(disk_encrypted=False), START))
    assert web.reach() == Deny(Reason.POSTURE_FAILED, web.resource)


def test_the_place_is_an_argument_and_unknown_is_nowhere() -> None:
    web = Web()
    web.grant(Conditions(sources=("192.0.2.0/24",)))
    assert web.reach() == Deny(Reason.SOURCE_NOT_ALLOWED, web.resource)
    assert web.reach(source=ip_address("198.51.100.1")) == Deny(Reason.SOURCE_NOT_ALLOWED, web.resource)
    assert isinstance(web.reach(source=ip_address("192.0.2.7")), Entry)
    # What only the place stands between is told apart from what is refused anyway.
    assert isinstance(web.reach(source=Assumed.MET), Entry)
    assert web.reach(float(FAR), source=Assumed.MET) == Deny(Reason.SESSION_ENDED)


def test_a_changed_policy_counts_for_all_its_grants() -> None:
    web = Web()
    policy = web.grant(OFFICE)
    assert policy is not None
    web.world.do(ChangePolicy(policy, conditions=Conditions(device_trusted=True)))
    assert web.reach() == Deny(Reason.DEVICE_NOT_TRUSTED, web.resource)


@pytest.mark.parametrize("through_group", [False, True])
def test_an_exclusion_beats_every_grant_until_it_ends(through_group: bool) -> None:
    web = Web()
    web.grant()
    subject = web.world.group(web.user) if through_group else web.user
    exclusion = web.world.exclusion(subject, web.resource, expires=START + 60)
    assert web.reach() == Deny(Reason.EXCLUDED, web.resource)
    assert acl_for_device(web.world.state, web.device, NOW) == Acl()
    assert web.next() == START + 60
    assert isinstance(web.reach(START + 60), Entry)
    web.world.do(RemoveExclusion(exclusion))
    assert isinstance(web.reach(), Entry)


def test_an_exclusion_says_nothing_to_those_without_a_grant() -> None:
    web = Web()
    web.world.exclusion(web.user, web.resource)
    assert web.reach() == Deny(Reason.NO_GRANT)
    assert explain(web.world.state, web.device, HTTPS, NOW).decision == Deny(Reason.NOT_A_RESOURCE)


def test_an_explanation_names_what_is_missing_and_when_it_mends_itself() -> None:
    web = Web()
    web.grant(OFFICE)
    at_night = explain(web.world.state, web.device, HTTPS, CLOSES)
    assert at_night.decision == Deny(Reason.OUTSIDE_HOURS, web.resource)
    assert [failure.detail for failure in at_night.missing] == ["Mon,Tue,Wed,Thu,Fri 08:00-18:00 (UTC)"]
    assert at_night.changes_at == OPENS
    assert isinstance(explain(web.world.state, web.device, HTTPS, NOW).decision, Permit)


def test_an_explanation_tells_of_the_grant_that_lacks_least() -> None:
    web = Web()
    web.grant(Conditions(mfa_max_age_s=60, device_trusted=True, disk_encrypted=True))
    web.grant(Conditions(device_trusted=True))
    told = explain(web.world.state, web.device, HTTPS, NOW)
    assert told.decision == Deny(Reason.DEVICE_NOT_TRUSTED, web.resource)
    assert [failure.condition for failure in told.missing] == ["device_trusted"]
    assert told.changes_at is None
    exclusion = web.world.exclusion(web.user, web.resource)
    excluded = explain(web.world.state, web.device, HTTPS, NOW)
    assert [failure.detail for failure in excluded.missing] == [f"the end of the exclusion {exclusion}"]


def test_a_wrong_port_is_told_before_what_is_missing() -> None:
    web = Web()
    web.grant(Conditions(device_trusted=True))
    wrong = explain(web.world.state, web.device, Request("web.internal", Transport.TCP, 80), NOW)
    assert wrong.decision == Deny(Reason.PORT_NOT_ALLOWED, web.resource)


def test_a_service_account_meets_what_needs_no_sign_in() -> None:
    world = World()
    account = world.service_account()
    device, resource = world.device(account), world.resource(world.network())
    world.grant(account, resource, policy=world.policy(OFFICE))
    assert isinstance(may_reach(world.state, device, resource, NOW), Entry)
    assert next_change_at(world.state, device, NOW) == CLOSES
    world.do(c.DisableServiceAccount(account))
    assert may_reach(world.state, device, resource, NOW) == Deny(Reason.SERVICE_ACCOUNT_DISABLED)
