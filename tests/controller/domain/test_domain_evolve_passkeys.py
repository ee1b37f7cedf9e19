"""Passkeys are no part of the policy: nobody's access depends on them."""

from policy_world import World, fresh_id

from controller.domain.commands_passkeys import AddPasskey, RemovePasskey, RenamePasskey


def test_the_policy_stays_as_it_is() -> None:
    world, passkey = World(), fresh_id("passkey")
    user = world.user()
    before = world.state
    for command in (AddPasskey(user, passkey), RenamePasskey(user, passkey), RemovePasskey(user, passkey)):
        world.do(command)
        assert world.state.users == before.users
    assert world.state.position == before.position + 3
