"""Conditions: what is not known does not hold, each failure has its reason, and every flip is foreseen."""

from dataclasses import fields, replace
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain.conditions import (
    MET,
    Assumed,
    Conditions,
    Facts,
    Outcome,
    SystemRule,
    evaluate,
    version_of,
)
from controller.domain.hours import Hours, Window
from protocol.device_facts import DeviceFacts
from protocol.reasons import Reason

NOW = 1_800_000_000
"""A Friday, 08:00 in UTC."""
WEEK_S = 7 * 24 * 3600
GOOD = DeviceFacts("linux", "debian", "12", "6.1.0-18-amd64", "0.2.1", disk_encrypted=True, firewall=True)
KNOWN = Facts(NOW, NOW, trusted=True, report=GOOD, reported_s=NOW, source=ip_address("10.1.2.3"))
OFFICE = Hours("UTC", (Window((1, 2, 3, 4, 5), 8 * 60, 18 * 60),))


def reasons(outcome: Outcome) -> list[Reason]:
    return [failure.reason for failure in outcome.failures]


def test_nothing_asked_for_is_met_for_ever() -> None:
    assert evaluate(Conditions(), Facts(), NOW) == MET
    assert Conditions().empty


@pytest.mark.parametrize(
    ("conditions", "lacking", "reason"),
    [
        (Conditions(sign_in_max_age_s=60), {"authenticated_s": NOW - 60}, Reason.SIGN_IN_TOO_OLD),
        (Conditions(sign_in_max_age_s=60), {"authenticated_s": None}, Reason.SIGN_IN_TOO_OLD),
        (Conditions(mfa_max_age_s=60), {"mfa_s": NOW - 60}, Reason.MFA_REQUIRED),
        (Conditions(mfa_max_age_s=60), {"mfa_s": None}, Reason.MFA_REQUIRED),
        (Conditions(device_trusted=True), {"trusted": False}, Reason.DEVICE_NOT_TRUSTED),
        (Conditions(disk_encrypted=True), {"report": replace(GOOD, disk_encrypted=False)}, Reason.POSTURE_FAILED),
        (Conditions(disk_encrypted=True), {"report": replace(GOOD, disk_encrypted=None)}, Reason.POSTURE_FAILED),
        (Conditions(firewall=True), {"report": replace(GOOD, firewall=False)}, Reason.POSTURE_FAILED),
        (Conditions(firewall=True), {"report": replace(GOOD, firewall=None)}, Reason.POSTURE_FAILED),
        (Conditions(client_min_version="0.2"), {"report": replace(GOOD, client="0.1.9")}, Reason.POSTURE_FAILED),
        (Conditions(client_min_version="0.2"), {"report": replace(GOOD, client="new")}, Reason.POSTURE_FAILED),
        (Conditions(systems=(SystemRule("debian", "12"),)), {"report": replace(GOOD, version="11.9")}, None),
        (Conditions(systems=(SystemRule("debian"),)), {"report": replace(GOOD, distribution="ubuntu")}, None),
        (Conditions(systems=(SystemRule("linux", "6.1"),)), {"report": replace(GOOD, kernel="5.15.0")}, None),
        (Conditions(firewall=True), {"report": None, "reported_s": None}, Reason.POSTURE_UNKNOWN),
        (Conditions(firewall=True), {"reported_s": NOW - 24 * 3600}, Reason.POSTURE_UNKNOWN),
        (Conditions(firewall=True, facts_max_age_s=1800), {"reported_s": NOW - 1800}, Reason.POSTURE_UNKNOWN),
        (Conditions(sources=("10.0.0.0/8",)), {"source": ip_address("192.0.2.1")}, Reason.SOURCE_NOT_ALLOWED),
        (Conditions(sources=("10.0.0.0/8",)), {"source": None}, Reason.SOURCE_NOT_ALLOWED),
        (Conditions(sources=("10.0.0.0/8",)), {"source": ip_address("::1")}, Reason.SOURCE_NOT_ALLOWED),
    ],
)
def test_each_condition_holds_with_its_fact_and_not_without(
    conditions: Conditions, lacking: dict[str, object], reason: Reason | None
) -> None:
    assert not conditions.empty
    assert evaluate(conditions, KNOWN, NOW).met
    refused = evaluate(conditions, replace(KNOWN, **lacking), NOW)  # type: ignore[arg-type]
    assert reasons(refused) == [reason or Reason.POSTURE_FAILED]
    assert refused.failures[0].detail


def test_hours_flip_both_ways() -> None:
    inside = evaluate(Conditions(hours=OFFICE), Facts(), NOW)
    assert inside == Outcome((), NOW + 10 * 3600)
    outside = evaluate(Conditions(hours=OFFICE), Facts(), NOW + 10 * 3600)
    assert (reasons(outside), outside.changes_at) == ([Reason.OUTSIDE_HOURS], NOW + 3 * 24 * 3600)


def test_ages_end_to_the_second() -> None:
    conditions = Conditions(sign_in_max_age_s=600, mfa_max_age_s=60)
    assert evaluate(conditions, KNOWN, NOW + 59.9) == Outcome((), NOW + 60)
    later = evaluate(conditions, KNOWN, NOW + 60)
    assert (reasons(later), later.changes_at) == ([Reason.MFA_REQUIRED], NOW + 600)
    assert evaluate(conditions, KNOWN, NOW + 600).changes_at is None


def test_a_mapped_address_counts_as_what_it_is() -> None:
    facts = replace(KNOWN, source=ip_address("::ffff:10.1.2.3"))
    assert evaluate(Conditions(sources=("10.0.0.0/8",)), facts, NOW).met


def test_only_the_place_can_be_assumed() -> None:
    conditions = Conditions(sources=("10.0.0.0/8",), device_trusted=True)
    assumed = Facts(trusted=False, source=Assumed.MET)
    assert reasons(evaluate(conditions, assumed, NOW)) == [Reason.DEVICE_NOT_TRUSTED]
    assert evaluate(conditions, replace(assumed, trusted=True), NOW).met


def test_all_failures_are_named() -> None:
    everything = Conditions(60, 60, True, (SystemRule("x"),), True, True, "9", 1800, ("10.0.0.0/8",), OFFICE)
    named = {failure.condition for failure in evaluate(everything, Facts(), NOW + 11 * 3600).failures}
    assert named == {"hours", "sources", "device_trusted", "facts_max_age_s", "sign_in_max_age_s", "mfa_max_age_s"}
    bad = replace(KNOWN, report=DeviceFacts(), source=None, trusted=False)
    named = {failure.condition for failure in evaluate(everything, bad, NOW).failures}
    assert {"systems", "disk_encrypted", "firewall", "client_min_version"} <= named


@pytest.mark.parametrize(
    ("text", "version"),
    [("6.1.0-18-amd64", (6, 1)), ("12", (12,)), ("24.04", (24, 4)), ("", None), ("v1", None), ("0", ()), ("٣", None)],
)
def test_versions(text: str, version: tuple[int, ...] | None) -> None:
    assert version_of(text) == version


AGES = st.none() | st.sampled_from([60, 3600, 86_400, 3 * 86_400])
MOMENTS = st.none() | st.integers(NOW - WEEK_S, NOW)
WINDOWS = st.sampled_from(
    [Window((1, 2, 3, 4, 5), 480, 1080), Window((5, 6), 1320, 360), Window((7,), 0, 1440), Window((5,), 481, 482)]
)
HOURS = st.builds(Hours, st.sampled_from(["UTC", "Europe/Berlin"]), st.tuples(WINDOWS) | st.tuples(WINDOWS, WINDOWS))
CONDITIONS = st.builds(
    Conditions,
    AGES,
    AGES,
    st.booleans(),
    st.sampled_from([(), (SystemRule("debian", "12"),), (SystemRule("arch"), SystemRule("linux", "6"))]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "0.1", "0.3"]),
    st.sampled_from([1800, 86_400]),
    st.sampled_from([(), ("10.0.0.0/8",), ("192.0.2.0/24", "2001:db8::/32")]),
    st.none() | HOURS,
)
REPORTS = st.builds(
    DeviceFacts,
    st.sampled_from(["linux", ""]),
    st.sampled_from(["debian", "arch", ""]),
    st.sampled_from(["12", "11", "rolling"]),
    st.sampled_from(["6.1.0", "5.4", ""]),
    st.sampled_from(["0.2", "0.3.1", ""]),
    st.none() | st.booleans(),
    st.none() | st.booleans(),
)
FACTS = st.builds(
    Facts,
    MOMENTS,
    MOMENTS,
    st.booleans(),
    st.none() | REPORTS,
    MOMENTS,
    st.sampled_from([None, Assumed.MET, ip_address("10.1.2.3"), ip_address("2001:db8::7")]),
)
CLEARED = Conditions()
PARTS = [field.name for field in fields(Conditions) if field.name != "facts_max_age_s"]


@settings(max_examples=300, deadline=None)
@given(CONDITIONS, FACTS, st.integers(NOW, NOW + WEEK_S), st.sampled_from(PARTS))
def test_adding_a_condition_never_grants_more(conditions: Conditions, facts: Facts, now: int, part: str) -> None:
    fewer = replace(conditions, **{part: getattr(CLEARED, part)})
    assert evaluate(fewer, facts, now).met or not evaluate(conditions, facts, now).met
    strangers = replace(facts, source=None)
    assert evaluate(conditions, replace(facts, source=Assumed.MET), now).met or not evaluate(conditions, facts, now).met
    assert evaluate(conditions, facts, now).met or not evaluate(conditions, strangers, now).met


def reference(conditions: Conditions, facts: Facts, now: int) -> bool:
    """The same, said as a person would, in the slowest way."""
    checks = []
    if conditions.sign_in_max_age_s is not None:
        checks.append(facts.authenticated_s is not None and now - facts.authenticated_s < conditions.sign_in_max_age_s)
    if conditions.mfa_max_age_s is not None:
        checks.append(facts.mfa_s is not None and now - facts.mfa_s < conditions.mfa_max_age_s)
    if conditions.hours is not None:
        checks.append(evaluate(Conditions(hours=conditions.hours), Facts(), now).met)
    if conditions.about_facts:
        age = None if facts.report is None or facts.reported_s is None else now - facts.reported_s
        checks.append(age is not None and age < conditions.facts_max_age_s)
    return all(checks)


@settings(max_examples=8, deadline=None)
@given(CONDITIONS, FACTS)
def test_every_flip_of_a_week_is_foreseen(conditions: Conditions, facts: Facts) -> None:
    """Minute by minute: the answer changes only at a moment that was named before."""
    timed = replace(
        conditions,
        device_trusted=False,
        sources=(),
        systems=(),
        disk_encrypted=False,
        client_min_version="",
    )
    said = replace(facts, report=replace(facts.report, firewall=True) if facts.report is not None else None)
    outcome = evaluate(timed, said, NOW)
    for now in range(NOW, NOW + WEEK_S, 60):
        if outcome.changes_at is not None and now >= outcome.changes_at:
            assert now - outcome.changes_at < 60
            outcome = evaluate(timed, said, now)
        assert outcome.met is reference(timed, said, now)
        assert reasons(outcome) == reasons(evaluate(timed, said, now))
