"""Registration of decisions by the type of their command."""

from controller.domain.commands import RetireSigningKey
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.state import PolicyState


def test_a_handler_is_found_by_its_command() -> None:
    handlers: Handlers = {}

    @handles(handlers, RetireSigningKey)
    def decide(_: PolicyState, command: RetireSigningKey) -> Decided:
        return about(command.kid)

    assert handlers == {RetireSigningKey: decide}
    assert decide(PolicyState(), RetireSigningKey("kid")) == ("kid", ())
