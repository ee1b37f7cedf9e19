"""Registration of folds by the type of their event."""

from controller.domain.appliers import Appliers, applies
from controller.domain.events import NetworkRemoved
from controller.domain.state import PolicyState
from protocol.ids import NetworkId


def test_a_fold_is_found_by_its_event() -> None:
    appliers: Appliers = {}

    @applies(appliers, NetworkRemoved)
    def fold(state: PolicyState, _: NetworkRemoved, at_ms: int) -> PolicyState:
        return state

    assert appliers == {NetworkRemoved: fold}
    assert fold(PolicyState(), NetworkRemoved(NetworkId("net_x")), 0) == PolicyState()
