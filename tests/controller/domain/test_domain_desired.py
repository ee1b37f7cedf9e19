"""What a document names: people to look up, and ports behind names."""

import pytest

from controller.domain.desired import Desired, DesiredGrant, DesiredGroup, DesiredUser, Expectation, Named
from controller.domain.model import SubjectKind
from protocol.acl.model import Transport

ADA, OPS = Named(SubjectKind.USER, "ada@x"), Named(SubjectKind.GROUP, "ops")


def test_people_are_members_users_subjects_and_those_of_whom_something_is_expected() -> None:
    desired = Desired(
        groups=(DesiredGroup("ops", ("grace@x",)), DesiredGroup("kept")),
        users=(DesiredUser("linus@x"),),
        grants=(DesiredGrant(ADA, "wiki"), DesiredGrant(OPS, "wiki")),
        expect=(Expectation(Named(SubjectKind.USER, "eve@x"), False, "wiki", "…"),),
    )
    assert desired.people() == {"ada@x", "grace@x", "linus@x", "eve@x"}
    assert Desired().people() == frozenset()


@pytest.mark.parametrize(
    ("what", "read"),
    [
        ("wiki", None),
        ("wiki:443", ("wiki", Transport.TCP, 443)),
        ("a:b:53/udp", ("a:b", Transport.UDP, 53)),
        ("wiki:0", None),
        ("wiki:70000", None),
        ("wiki:443/icmp", None),
    ],
)
def test_the_end_of_a_name_may_be_a_port(what: str, read: object) -> None:
    assert Expectation(ADA, True, what, "…").precisely() == read
