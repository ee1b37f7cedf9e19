"""An export says everything there is, in the words of a document, sorted so that two of them can be compared."""

from plan_world import exclude, policy
from policy_world import START, WEB, World

from controller.domain import commands as c
from controller.domain.conditions import Conditions
from controller.domain.desired import DesiredExclusion, DesiredGrant, DesiredGroup, DesiredUser, Named
from controller.domain.desired_export import desired_of
from controller.domain.model import Role, SubjectKind
from protocol.ids import GrantId


def test_everything_is_in_it_by_name() -> None:
    world = World()
    ada, gone = world.user(Role.OWNER), world.user()
    network = world.network("office")
    wiki = world.resource(network, "wiki.internal", WEB, "wiki")
    ops = world.group(ada, gone, name="ops")
    ci = world.service_account("ci")
    staff = policy(world, "staff", Conditions(device_trusted=True))
    world.do(c.CreateGrant(GrantId("gra_" + "a" * 22), SubjectKind.GROUP, ops, wiki, None, staff))
    world.grant(ci, wiki, expires=START + 60)
    exclude(world, gone, wiki)
    found = desired_of(world.state, {ada: "ada@x"})
    assert found.networks is not None
    assert [item.name for item in found.networks] == ["office"]
    assert found.resources is not None
    assert [(item.name, item.network, item.address) for item in found.resources] == [
        ("wiki", "office", "wiki.internal")
    ]
    assert found.groups == (DesiredGroup("ops", tuple(sorted(("ada@x", gone)))),)
    assert found.users is not None
    assert set(found.users) == {
        DesiredUser("ada@x", Role.OWNER, disabled=False),
        DesiredUser(gone, Role.MEMBER, disabled=False),
    }
    assert found.grants == (
        DesiredGrant(Named(SubjectKind.GROUP, "ops"), "wiki", None, "staff"),
        DesiredGrant(Named(SubjectKind.SERVICE_ACCOUNT, "ci"), "wiki", START + 60, None),
    )
    assert found.exclusions == (DesiredExclusion(Named(SubjectKind.USER, gone), "wiki", None),)


def test_the_order_of_creation_does_not_show() -> None:
    one, two = World(), World()
    for name in ("a", "b", "c"):
        one.network(name)
    for name in ("c", "a", "b"):
        two.network(name)
    assert desired_of(one.state, {}) == desired_of(two.state, {})
