"""Assertions are spent once."""

import pytest

from controller.agents.replay import ReplayCache
from protocol.errors import RefusedError
from protocol.limits import CLOCK_LEEWAY_S
from protocol.reasons import Reason
from protocol.tokens.claims import Assertion


def assertion(jti: str, agent: str = "dev_x", expires: int = 1060) -> Assertion:
    return Assertion(agent, "ctl_x", jti, expires - 60, expires)


def reason_of(cache: ReplayCache, spent: Assertion, now: float) -> Reason:
    with pytest.raises(RefusedError) as refused:
        cache.spend(spent, now)
    return refused.value.reason


def test_an_assertion_is_good_once_per_agent() -> None:
    cache = ReplayCache()
    cache.spend(assertion("a"), 1000)
    assert reason_of(cache, assertion("a"), 1000) is Reason.TOKEN_REVOKED
    cache.spend(assertion("a", "dev_y"), 1000)
    cache.spend(assertion("b"), 1000)


def test_it_is_remembered_until_no_verifier_takes_it() -> None:
    cache = ReplayCache()
    cache.spend(assertion("a"), 1000)
    assert reason_of(cache, assertion("a"), 1059 + CLOCK_LEEWAY_S) is Reason.TOKEN_REVOKED
    cache.spend(assertion("b", expires=2000), 1060 + CLOCK_LEEWAY_S)
    assert len(cache) == 1


def test_the_memory_is_bounded_and_refuses_when_full() -> None:
    cache = ReplayCache(capacity=2)
    cache.spend(assertion("a"), 1000)
    cache.spend(assertion("b"), 1000)
    assert reason_of(cache, assertion("c"), 1000) is Reason.RATE_LIMITED
    cache.spend(assertion("c", expires=1200), 1100)
