"""Rules of the controller itself and its signing keys."""

import pytest
from policy_world import World, fresh_key

from controller.domain import commands as c
from controller.domain.events import EnrolmentIssued, UserPasswordSet
from controller.domain.model import KeyStatus
from protocol.enrolment import EnrolmentKind
from protocol.ids import Epoch, UserId
from protocol.reasons import Reason


def test_a_controller_is_initialised_once() -> None:
    world = World(initialised=False)
    world.do(c.InitialiseController("ctl_one", "https://ostiary.example/"))
    assert (world.state.issuer, world.state.epoch) == ("ctl_one", 1)
    assert world.state.public_url == "https://ostiary.example"
    assert world.refused(c.InitialiseController("ctl_two", "https://x"))[0] is Reason.ALREADY_EXISTS


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("one", "https://x"),
        ("ctl_\n", "https://x"),
        ("ctl_x", "http://x"),
        ("ctl_x", "https://x y"),
        ("ctl_x", "https://ä"),
    ],
)
def test_wrong_names_of_a_controller_are_refused(issuer: str, url: str) -> None:
    world = World(initialised=False)
    assert world.refused(c.InitialiseController(issuer, url))[0] is Reason.INVALID_INPUT


def test_an_epoch_only_rises() -> None:
    world = World()
    world.do(c.RaiseEpoch(Epoch(5)))
    assert world.refused(c.RaiseEpoch(Epoch(5)))[0] is Reason.INVALID_INPUT
    assert World(initialised=False).refused(c.RaiseEpoch(Epoch(5)))[0] is Reason.NOT_FOUND


def test_t64_a_signing_key_lives_through_next_active_previous() -> None:
    world = World()
    for kid in ("key-one", "key-two"):
        world.do(c.AddSigningKey(kid, fresh_key()))
    world.do(c.ActivateSigningKey("key-one"))
    assert world.do(c.ActivateSigningKey("key-one")) == ()
    world.do(c.ActivateSigningKey("key-two"))
    assert world.state.signing_keys["key-one"].status is KeyStatus.PREVIOUS
    assert world.state.signing_keys["key-two"].status is KeyStatus.ACTIVE
    assert world.refused(c.RetireSigningKey("key-two"))[0] is Reason.IN_USE
    world.do(c.RetireSigningKey("key-one"))
    assert set(world.state.signing_keys) == {"key-two"}


def test_t64_a_distrusted_key_never_comes_back() -> None:
    world = World()
    world.do(c.AddSigningKey("key-one", fresh_key()))
    world.do(c.ActivateSigningKey("key-one"))
    world.do(c.DistrustSigningKey("key-one"))
    assert not world.state.signing_keys
    assert world.do(c.DistrustSigningKey("key-one")) == ()
    assert world.refused(c.AddSigningKey("key-one", fresh_key()))[0] is Reason.ALREADY_EXISTS
    assert world.refused(c.ActivateSigningKey("key-one"))[0] is Reason.NOT_FOUND
    assert world.refused(c.DistrustSigningKey("never"))[0] is Reason.NOT_FOUND


@pytest.mark.parametrize("kid", ["", "controller", "agents", "sign_ins", "a\nb", "k" * 65])
def test_a_key_id_is_a_word_and_no_stream_of_ours(kid: str) -> None:
    assert World().refused(c.AddSigningKey(kid, fresh_key()))[0] is Reason.INVALID_INPUT


def test_t9_becoming_somebody_else_leaves_a_trace_and_changes_nothing_else() -> None:
    world = World()
    user, network = world.user(), world.network()
    targets: dict[EnrolmentKind, str] = {"connector": world.connector(network), "relay": world.relay()}
    targets["service"] = world.service_account()
    for kind, target in targets.items():
        assert world.do(c.IssueEnrolment(kind, target)) == (EnrolmentIssued(kind, target),)
        for other in {*targets} - {kind}:
            assert world.refused(c.IssueEnrolment(other, target))[0] is Reason.NOT_FOUND
    before = world.state
    assert world.do(c.SetUserPassword(user)) == (UserPasswordSet(user),)
    assert world.state.users == before.users
    assert world.refused(c.SetUserPassword(UserId("usr_x")))[0] is Reason.NOT_FOUND


def test_t9_failures_leave_a_trace_and_change_nothing_else() -> None:
    world = World()
    user = world.user()
    before = world.state
    world.do(c.RecordSignInFailure(user, "password"))
    world.do(c.RecordSignInFailure(None, "unknown_account"))
    world.do(c.RecordAgentMisbehaviour("con_x", "spoke_for_another"))
    assert world.state.position == before.position + 3
    assert world.state.users == before.users
    assert world.refused(c.RecordSignInFailure(UserId("usr_x"), "password"))[0] is Reason.NOT_FOUND
    assert world.refused(c.RecordSignInFailure(None, "a\nb"))[0] is Reason.INVALID_INPUT
