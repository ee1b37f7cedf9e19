"""The policy document: every mistake has its line, and what is written reads as the same."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.conditions import Conditions, SystemRule
from controller.domain.desired import (
    Desired,
    DesiredExclusion,
    DesiredGrant,
    DesiredGroup,
    DesiredNetwork,
    DesiredPolicy,
    DesiredResource,
    DesiredServiceAccount,
    DesiredUser,
    Named,
)
from controller.domain.desired_text import read_document_untrusted, write_document
from controller.domain.hours import Hours, Window
from controller.domain.model import Role, SubjectKind
from controller.domain.yaml_text import DocumentError
from protocol.acl.model import PortRange, Ports, Transport
from protocol.limits import POLICY_DOCUMENT_MAX_BYTES

WHOLE = """
networks:
  - name: office
    egress_allow: [127.0.0.1]
resources:
  - name: wiki
    network: office
    address: wiki.corp.internal
    ports: {tcp: [80, 443, 8000-8100], udp: 53, icmp: yes}
    lease_s: 60
groups:
  - name: engineers
    members: [ada@corp.example]
  - name: kept
service_accounts:
  - name: ci
    disabled: true
users:
  - user: ada@corp.example
    role: owner
policies:
  - name: staff
    conditions:
      mfa_max_age_s: 3600
      systems: [{name: debian, min_version: 12}]
      sources: [10.0.0.0/8]
      hours:
        zone: Europe/Berlin
        windows:
          - {days: [mon, fri], start: "09:00", end: "24:00"}
exclusions:
  - who: user:grace@corp.example
    resource: wiki
    expires: 2026-12-24T18:00:00+01:00
grants:
  - to: group:engineers
    resource: wiki
    policy: staff
expect:
  - ada@corp.example can reach wiki:443
  - service-account:ci cannot reach wiki
"""


def test_everything_that_can_be_said() -> None:
    found = read_document_untrusted(WHOLE)
    ports = Ports((PortRange(80, 80), PortRange(443, 443), PortRange(8000, 8100)), (PortRange(53, 53),), icmp=True)
    assert found.networks == (DesiredNetwork("office", ("127.0.0.1",)),)
    assert found.resources == (DesiredResource("wiki", "office", "wiki.corp.internal", ports, 60),)
    assert found.groups == (DesiredGroup("engineers", ("ada@corp.example",)), DesiredGroup("kept", None))
    assert found.service_accounts == (DesiredServiceAccount("ci", disabled=True),)
    assert found.users == (DesiredUser("ada@corp.example", Role.OWNER, None),)
    hours = Hours("Europe/Berlin", (Window((1, 5), 9 * 60, 24 * 60),))
    conditions = Conditions(
        mfa_max_age_s=3600, systems=(SystemRule("debian", "12"),), sources=("10.0.0.0/8",), hours=hours
    )
    assert found.policies == (DesiredPolicy("staff", conditions),)
    grace = Named(SubjectKind.USER, "grace@corp.example")
    assert found.exclusions == (DesiredExclusion(grace, "wiki", 1_798_131_600),)
    assert found.grants == (DesiredGrant(Named(SubjectKind.GROUP, "engineers"), "wiki", None, "staff"),)
    first, second = found.expect
    assert (first.who.name, first.can, first.precisely()) == ("ada@corp.example", True, ("wiki", Transport.TCP, 443))
    assert (second.who, second.can) == (Named(SubjectKind.SERVICE_ACCOUNT, "ci"), False)
    assert found.people() == {"ada@corp.example", "grace@corp.example"}


def test_what_is_written_reads_as_the_same() -> None:
    found = read_document_untrusted(WHOLE)
    assert read_document_untrusted(write_document(found)) == found


def test_a_section_that_is_absent_differs_from_an_empty_one() -> None:
    assert read_document_untrusted("networks: []").networks == ()
    assert read_document_untrusted("groups: []").networks is None


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("networks:\n  - name: a\n    egres: []\n", "line 3: a network knows no 'egres'; it knows egress_allow, name"),
        ("network: []\n", "line 1: a policy document knows no 'network'"),
        ("resources:\n  - name: wiki\n    address: a.b\n", "line 2: a resource needs 'network'"),
        ("grants:\n  - to: engineers\n    resource: wiki\n", "line 2: 'engineers' is not group:NAME"),
        (
            "resources:\n  - {name: a, network: b, address: c, ports: {tcp: [70000]}}",
            "line 2: '70000' is not a port or a range",
        ),
        ("resources:\n  - {name: a, network: b, address: c, ports: {tcp: [9-8]}}", "line 2: '9-8' is not a port"),
        ("grants:\n  - {to: group:a, resource: b, expires: 2026-12-24}", "is not a time with an offset"),
        ("users:\n  - {user: a, role: king}", "line 2: 'king' is none of owner"),
        ("expect:\n  - group:a can reach b", "line 2: a group reaches nothing by itself"),
        ("expect:\n  - a may reach b", "is not `USER can reach RESOURCE`"),
        ("service_accounts:\n  - {name: a, disabled: 2}", "line 2: '2' is neither true nor false"),
        ("networks: {name: a}", "line 1: this is a list"),
        ("just a text", "line 1: a policy document is a mapping"),
        ("policies:\n  - {name: a, conditions: {mfa_max_age_s: soon}}", "line 2: 'soon' is not a whole number"),
        (
            "policies:\n  - {name: a, conditions: {hours: {zone: UTC, windows: [{days: [mon], start: '25:00', end: '1:00'}]}}}",
            "line 2: '25:00' is not a time of day",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(document: str, said: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read_document_untrusted(document)
    assert said in str(refused.value)


def test_a_document_has_a_bound() -> None:
    """In bytes, the same one at the command line, in the API and here."""
    start = "groups: []\n# "
    longest = start + "é" * ((POLICY_DOCUMENT_MAX_BYTES - len(start)) // 2)
    assert read_document_untrusted(longest).groups == ()
    with pytest.raises(DocumentError, match="at most"):
        read_document_untrusted(longest + "xx")


TRICKY = st.sampled_from(
    [
        "null",
        "~",
        "yes",
        "12",
        "a: b",
        "# a",
        "*a",
        "&a",
        "- a",
        "'",
        '"',
        "a#b",
        "é",
        "😀",
        "2026-12-24",
        "0x1",
        "!a",
        "{a}",
    ]
)
NAMES = st.one_of(TRICKY, st.text(st.characters(blacklist_categories=("C", "Z")), min_size=1, max_size=20))
DOCUMENTS = st.builds(
    Desired,
    networks=st.lists(st.builds(DesiredNetwork, NAMES), max_size=4).map(tuple),
    groups=st.lists(st.builds(DesiredGroup, NAMES, st.lists(NAMES, max_size=3).map(tuple)), max_size=4).map(tuple),
    grants=st.lists(
        st.builds(
            DesiredGrant,
            st.builds(Named, st.sampled_from(SubjectKind), NAMES),
            NAMES,
            st.one_of(st.none(), st.integers(0, 253_402_300_799)),
            st.one_of(st.none(), NAMES),
        ),
        max_size=4,
    ).map(tuple),
)


@given(DOCUMENTS)
def test_names_of_any_kind_survive_writing_and_reading(desired: Desired) -> None:
    assert read_document_untrusted(write_document(desired)) == desired


def test_the_documented_example_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "plans.md").read_text()
    found = read_document_untrusted(page.partition("```yaml\n")[2].partition("```")[0])
    sections = (found.networks, found.resources, found.groups, found.service_accounts, found.users)
    assert all([*sections, found.policies, found.grants, found.exclusions, found.expect])
