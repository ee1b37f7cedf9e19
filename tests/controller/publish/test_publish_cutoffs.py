"""The ledger of cut-offs."""

from controller.domain.losses import Loss
from controller.publish.cutoffs import KEEP_S, CutoffLedger
from protocol.ids import DeviceId, NetworkId, ResourceId
from protocol.reasons import Reason

ONE, TWO = NetworkId("net_one"), NetworkId("net_two")


def loss(device: str, *networks: NetworkId) -> Loss:
    return Loss(DeviceId(device), ResourceId("res_x"), frozenset(networks), Reason.ACCESS_REVOKED)


def test_cut_offs_are_kept_per_network_newest_first() -> None:
    ledger = CutoffLedger()
    ledger.note([loss("dev_a", ONE)], 100.2)
    ledger.note([loss("dev_b", ONE, TWO)], 101.9)
    assert [cutoff.device for cutoff in ledger.live_in(ONE, 102)] == ["dev_b", "dev_a"]
    assert [(cutoff.device, cutoff.before) for cutoff in ledger.live_in(TWO, 102)] == [("dev_b", 102)]
    assert ledger.live_in(NetworkId("net_three"), 102) == ()


def test_they_are_forgotten_when_no_token_can_be_older() -> None:
    ledger = CutoffLedger()
    ledger.note([loss("dev_a", ONE)], 100)
    ledger.note([loss("dev_b", ONE)], 200)
    assert (ledger.floor(DeviceId("dev_a")), ledger.floor(DeviceId("dev_c"))) == (101, 0)
    assert [cutoff.device for cutoff in ledger.live_in(ONE, 100 + KEEP_S)] == ["dev_b"]
    assert ledger.floor(DeviceId("dev_a")) == 0
    assert ledger.live_in(ONE, 200 + KEEP_S) == ()
