"""Cut-offs: pushed ones hold until a config repeats them; the later one wins."""

from connector_world import DEVICE, res

from connector.core import cutoffs as module
from connector.core.cutoffs import Cutoffs
from protocol.control import Cutoff
from protocol.ids import DeviceId, ResourceId, Revision
from protocol.reasons import Reason

OTHER = DeviceId("dev_BBBBBBBBBBBBBBBBBBBBBB")


def cut(
    before: int, *, resource: ResourceId | None = None, device: DeviceId = DEVICE, reason: str = "access_revoked"
) -> Cutoff:
    return Cutoff(device, resource, before, reason)


def test_t36_older_tokens_do_not_count_and_newer_ones_do() -> None:
    cutoffs = Cutoffs()
    cutoffs.push(Revision(5), [cut(100, resource=res(1))])
    assert cutoffs.refusal(DEVICE, res(1), 99) is Reason.ACCESS_REVOKED
    assert cutoffs.refusal(DEVICE, res(1), 100) is None
    assert cutoffs.refusal(DEVICE, res(2), 99) is None
    assert cutoffs.refusal(OTHER, res(1), 99) is None
    assert cutoffs.refusal(DEVICE, None, 99) is None


def test_a_cutoff_for_every_resource_concerns_the_device_as_a_whole() -> None:
    cutoffs = Cutoffs()
    cutoffs.push(Revision(5), [cut(100, reason="device_revoked")])
    assert cutoffs.refusal(DEVICE, res(9), 99) is Reason.DEVICE_REVOKED
    assert cutoffs.refusal(DEVICE, None, 99) is Reason.DEVICE_REVOKED


def test_a_pushed_cutoff_survives_an_older_config_and_yields_to_a_newer_one() -> None:
    cutoffs = Cutoffs()
    cutoffs.push(Revision(5), [cut(100)])
    cutoffs.replace(Revision(4), [])
    assert cutoffs.refusal(DEVICE, None, 99) is Reason.ACCESS_REVOKED
    cutoffs.replace(Revision(5), [cut(100)])
    assert cutoffs.refusal(DEVICE, None, 99) is Reason.ACCESS_REVOKED
    cutoffs.replace(Revision(6), [])
    assert cutoffs.refusal(DEVICE, None, 99) is None
    assert len(cutoffs) == 0


def test_the_later_of_two_counts() -> None:
    cutoffs = Cutoffs()
    cutoffs.push(Revision(5), [cut(100), cut(50)])
    cutoffs.push(Revision(6), [cut(80)])
    assert cutoffs.refusal(DEVICE, None, 99) is Reason.ACCESS_REVOKED
    cutoffs.replace(Revision(6), [cut(10), cut(120), cut(20)])
    assert cutoffs.refusal(DEVICE, None, 119) is Reason.ACCESS_REVOKED


def test_a_reason_of_a_newer_controller_still_refuses() -> None:
    cutoffs = Cutoffs()
    cutoffs.push(Revision(5), [cut(100, reason="from_the_future")])
    assert cutoffs.refusal(DEVICE, None, 1) is Reason.INTERNAL


def test_pushed_cutoffs_are_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "PUSHED_MAX", 2)
    cutoffs = Cutoffs()
    cutoffs.push(Revision(5), [cut(100, resource=res(number)) for number in range(3)])
    assert len(cutoffs) == 2
    assert cutoffs.refusal(DEVICE, res(0), 1) is None
    assert cutoffs.refusal(DEVICE, res(2), 1) is Reason.ACCESS_REVOKED
