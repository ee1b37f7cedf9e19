"""The ledger of cut-offs."""

from controller.domain.losses import Loss
from controller.publish.cutoffs import KEEP_S, CutoffLedger
from protocol.ids import DeviceId, NetworkId, ResourceId
from protocol.limits import CLOCK_LEEWAY_S
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


def test_t36_a_token_from_between_two_cut_offs_of_one_second_falls_under_the_second() -> None:
    ledger = CutoffLedger()
    device = DeviceId("dev_a")
    ledger.note([loss("dev_a", ONE), loss("dev_a", TWO)], 100.2)
    issued_at = ledger.floor(device)  # the signer dates it so
    (second,) = ledger.note([loss("dev_a", ONE)], 100.4)
    assert issued_at < second.cutoff.before == ledger.floor(device)
    # A clock that went on has caught up; another device is not concerned.
    ((third,), (other,)) = (ledger.note([loss(name, ONE)], 105.0) for name in ("dev_a", "dev_b"))
    assert third.cutoff.before == other.cutoff.before == 106


def test_many_cut_offs_of_one_second_date_tokens_within_the_leeway() -> None:
    ledger = CutoffLedger()
    for _ in range(100):
        ledger.note([loss("dev_a", ONE)], 100.0)
    assert ledger.floor(DeviceId("dev_a")) <= 100 + CLOCK_LEEWAY_S
