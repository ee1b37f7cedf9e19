"""What was learnt about the ways belongs to one identity."""

from dataclasses import replace

from client.daemon.identity import Identity
from client.daemon.known import Known
from protocol.ids import DeviceId, SessionId
from protocol.tokens.keys import VerificationKeys

GRACE = Identity("ctl_A", DeviceId("dev_A"), "usr_A", False, SessionId("ses_A"), None, VerificationKeys({}), "Grace")


def test_it_is_kept_for_the_same_identity() -> None:
    known = Known(lambda: 0.0).for_identity(GRACE)
    known.addresses.store("relay.example", 443, [("192.0.2.1", 443)])
    again = known.for_identity(replace(GRACE, user_name="Grace H."))
    assert again is known
    assert again.addresses.find("relay.example", 443)


def test_another_identity_begins_with_nothing() -> None:
    known = Known(lambda: 0.0).for_identity(GRACE)
    known.addresses.store("relay.example", 443, [("192.0.2.1", 443)])
    for other in (
        replace(GRACE, issuer="ctl_B"),
        replace(GRACE, device=DeviceId("dev_B")),
        replace(GRACE, user="usr_B"),
    ):
        fresh = known.for_identity(other)
        assert fresh is not known
        assert fresh.addresses.find("relay.example", 443) == ()
        assert fresh.paths is not known.paths
        assert fresh.warmth is not known.warmth
