"""Names that strict DNS keeps on a host: granted, and not on the whitelist at the moment (T-55)."""

from policy_world import START, World

from controller.domain.conditions import Conditions
from controller.domain.evaluate import Subject, subject_of_device
from controller.domain.hours import Hours, Window
from controller.domain.withheld import withheld_names
from protocol.ids import DeviceId

NOW = float(START)
OFFICE = Conditions(hours=Hours("UTC", (Window((1, 2, 3, 4, 5), 8 * 60, 18 * 60),)))
CLOSED = START + 11 * 3600


def subject(world: World, device: DeviceId, now: float) -> Subject:
    found = subject_of_device(world.state, device, now)
    assert isinstance(found, Subject)
    return found


def test_t55_a_name_whose_condition_is_not_met_is_told_while_that_is_so() -> None:
    world = World()
    user = world.user()
    device = world.laptop(user)
    network = world.network()
    policy = world.policy(OFFICE)
    world.grant(user, world.resource(network, "*.web.internal", name="web"), policy=policy)
    world.grant(user, world.resource(network, "10.0.0.0/8", name="net"), policy=policy)
    world.grant(user, world.resource(network, "free.internal", name="free"))
    assert withheld_names(world.state, subject(world, device, NOW), NOW) == ()
    assert withheld_names(world.state, subject(world, device, CLOSED), CLOSED) == ("*.web.internal",)


def test_t55_what_was_never_granted_or_has_expired_is_not_told() -> None:
    world = World()
    user = world.user()
    device = world.laptop(user)
    network = world.network()
    world.resource(network, "secret.internal", name="secret")
    policy = world.policy(OFFICE)
    world.grant(user, world.resource(network, "old.internal", name="old"), policy=policy, expires=START + 60)
    assert withheld_names(world.state, subject(world, device, CLOSED), CLOSED) == ()
    at = START + 61.0
    assert withheld_names(world.state, subject(world, device, at), at) == ()
