"""The fold of personal data's events: only position, time and version of the stream move."""

from dataclasses import replace

from policy_world import World

from controller.domain.commands_personal import RenameUser
from controller.domain.events.personal import UserPersonalDataErased, UserRenamed
from controller.domain.evolve_personal import HANDLERS


def test_nothing_personal_is_in_the_policy() -> None:
    world = World()
    user = world.user()
    before = world.state
    world.do(RenameUser(user))
    after = world.state
    assert replace(after, position=before.position, at_ms=before.at_ms, versions=before.versions) == before
    for event in (UserRenamed(user), UserPersonalDataErased(user)):
        assert HANDLERS[type(event)](after, event, 7) is after
