"""Every verifier against every misuse: kinds (S-6), claims (S-7), key binding (S-1), times, audiences, issuers."""

import dataclasses
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from token_samples import (
    ACCESS,
    AGENT_KEY,
    ASSERTION,
    AUDIENCE,
    BY_NAME,
    CONFIG,
    CONNECTOR,
    CONTROLLER_KEY,
    DEVICE,
    ISSUER,
    KEYS,
    NOW,
    OTHER_KEY,
    SAMPLES,
    SNAPSHOT,
    TICKET,
    Sample,
    claims_of,
    fixed_id,
    forge,
    reforge,
)

from protocol.errors import LocalError, RemoteError
from protocol.ids import ConnectorId, SessionId
from protocol.limits import CLOCK_LEEWAY_S
from protocol.reasons import Reason
from protocol.tokens import issue, verify
from protocol.tokens.keys import SigningKey, VerificationKeys, public_jwk

every = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


def refusal(sample: Sample, token: str, now: float = NOW) -> Reason:
    with pytest.raises(RemoteError) as caught:
        sample.verify(token, now)
    return caught.value.reason


@every
def test_what_was_issued_is_verified(sample: Sample) -> None:
    verified = sample.verify(sample.token, NOW)
    assert verified == sample.value
    assert getattr(verified, "token", sample.token) == sample.token


@pytest.mark.parametrize("verifier", SAMPLES, ids=lambda sample: "at-" + sample.name)
@every
def test_s06_no_kind_passes_as_another(sample: Sample, verifier: Sample) -> None:
    if sample is not verifier:
        assert refusal(verifier, sample.token) is Reason.TOKEN_TYPE
        # Also not with the other kind's typ, signed by the right key.
        relabelled = forge(
            {"alg": "ES256", "typ": verifier.typ, "kid": verifier.key.kid}, claims_of(sample), verifier.key
        )
        assert refusal(verifier, relabelled) in {Reason.TOKEN_CLAIM, Reason.TOKEN_AUDIENCE}


@every
def test_s07_each_claim_is_required_and_none_is_added(sample: Sample) -> None:
    claims = claims_of(sample)
    for name in claims:
        rest = {other: value for other, value in claims.items() if other != name}
        assert refusal(sample, reforge(sample, rest)) is Reason.TOKEN_CLAIM, name
    assert refusal(sample, reforge(sample, {**claims, "nbf": 1})) is Reason.TOKEN_CLAIM


@every
def test_s07_each_claim_is_checked_for_its_type(sample: Sample) -> None:
    for name, value in claims_of(sample).items():
        for wrong in ({}, [1], True, -1, 1.5, "", "x" * 3000, [value], {"a": value}, None):
            if wrong == value and type(wrong) is type(value):
                continue
            if name in ("head", "checkpoint") and wrong == "":
                continue
            if name == "networks" and wrong == {}:
                continue
            reason = refusal(sample, reforge(sample, {**claims_of(sample), name: wrong}))
            assert reason in {Reason.TOKEN_CLAIM, Reason.TOKEN_AUDIENCE, Reason.TOKEN_ISSUER}, (name, wrong)


@every
def test_s07_exp_is_required_and_is_a_number(sample: Sample) -> None:
    claims = claims_of(sample)
    for wrong in (str(sample.expires), float(sample.expires), 2**53, True, None):
        assert refusal(sample, reforge(sample, {**claims, "exp": wrong})) is Reason.TOKEN_CLAIM
    assert refusal(sample, reforge(sample, {**claims, "exp": claims["iat"]})) is Reason.TOKEN_CLAIM


@every
def test_s07_an_audience_list_is_refused(sample: Sample) -> None:
    claims = claims_of(sample)
    for aud in ([claims["aud"]], [claims["aud"], "other"]):
        assert refusal(sample, reforge(sample, {**claims, "aud": aud})) is Reason.TOKEN_CLAIM
    assert refusal(sample, reforge(sample, {**claims, "aud": "other"})) is Reason.TOKEN_AUDIENCE
    assert refusal(sample, reforge(sample, {**claims, "aud": str(claims["aud"]).upper()})) is Reason.TOKEN_AUDIENCE


@every
def test_another_issuer_is_refused(sample: Sample) -> None:
    assert refusal(sample, reforge(sample, {**claims_of(sample), "iss": "ctl_other"})) is Reason.TOKEN_ISSUER


@every
def test_expired_and_future_tokens_are_refused(sample: Sample) -> None:
    assert sample.verify(sample.token, sample.expires + CLOCK_LEEWAY_S - 1)
    assert refusal(sample, sample.token, sample.expires + CLOCK_LEEWAY_S) is Reason.TOKEN_EXPIRED
    assert sample.verify(sample.token, NOW - CLOCK_LEEWAY_S)
    assert refusal(sample, sample.token, NOW - CLOCK_LEEWAY_S - 1) is Reason.TOKEN_NOT_YET_VALID


@every
def test_a_key_of_the_same_name_does_not_verify(sample: Sample) -> None:
    header = {"alg": "ES256", "typ": sample.typ, "kid": sample.key.kid}
    assert refusal(sample, forge(header, claims_of(sample), OTHER_KEY)) is Reason.TOKEN_SIGNATURE
    assert refusal(sample, reforge(sample, claims_of(sample), kid="k9")) is Reason.TOKEN_KEY_UNKNOWN


@settings(max_examples=60)
@given(st.text(max_size=80) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_any_text_is_refused_with_our_error(text: str) -> None:
    for sample in SAMPLES:
        assert refusal(sample, text).code.startswith("token_")
    with pytest.raises(RemoteError):
        verify.UnverifiedAssertion(text)


@settings(max_examples=150)
@given(st.sampled_from(SAMPLES), st.data())
def test_any_changed_character_is_refused_with_our_error(sample: Sample, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(sample.token) - 1))
    character = data.draw(st.characters())
    changed = sample.token[:position] + character + sample.token[position + 1 :]
    if changed != sample.token:
        assert refusal(sample, changed).code.startswith("token_")


def access_with(cnf: object) -> str:
    return reforge(BY_NAME["access"], {**claims_of(BY_NAME["access"]), "cnf": cnf})


def test_s01_two_confirmation_members_are_refused() -> None:
    text = json.dumps(claims_of(BY_NAME["access"]))
    other = json.dumps({"jwk": public_jwk(OTHER_KEY.private)})
    twice = text[:-1] + f', "cnf": {other}}}'
    assert refusal(BY_NAME["access"], reforge(BY_NAME["access"], twice)) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "cnf",
    [
        None,
        {},
        {"jkt": "A" * 43},
        {"jwk": public_jwk(AGENT_KEY), "kid": "a"},
        {"jwk": public_jwk(AGENT_KEY), "jkt": "A" * 43},
        {"jwk": {**public_jwk(AGENT_KEY), "d": "A" * 43}},
        {"jwk": {**public_jwk(AGENT_KEY), "crv": "P-384"}},
        {"jwk": [public_jwk(AGENT_KEY)]},
    ],
)
def test_s01_exactly_one_confirmation_key(cnf: object) -> None:
    assert refusal(BY_NAME["access"], access_with(cnf)) is Reason.TOKEN_CLAIM


def test_t61_an_access_token_is_for_one_connector() -> None:
    other = ConnectorId(fixed_id("connector", 2))
    with pytest.raises(RemoteError) as caught:
        verify.verify_access(BY_NAME["access"].token, keys=KEYS, issuer=ISSUER, connector=other, now=NOW)
    assert caught.value.reason is Reason.TOKEN_AUDIENCE


def test_service_accounts_have_no_session_and_users_have_one() -> None:
    service = fixed_id("service_account")
    snapshot = dataclasses.replace(SNAPSHOT, user=service, user_kind="service", session=SessionId(""))
    token = issue.issue_snapshot(snapshot, CONTROLLER_KEY)
    assert BY_NAME["snapshot"].verify(token, NOW) == snapshot
    access = dataclasses.replace(ACCESS, user=service, session=SessionId(""))
    assert BY_NAME["access"].verify(issue.issue_access(access, CONTROLLER_KEY), NOW) == access
    for wrong in (
        dataclasses.replace(SNAPSHOT, session=SessionId("")),
        dataclasses.replace(snapshot, user_kind="user"),
        dataclasses.replace(snapshot, user_kind="root"),  # type: ignore[arg-type]
        dataclasses.replace(SNAPSHOT, user_kind="service"),
    ):
        assert refusal(BY_NAME["snapshot"], issue.issue_snapshot(wrong, CONTROLLER_KEY)) is Reason.TOKEN_CLAIM


def test_tickets_name_a_connector_unless_they_are_a_controllers() -> None:
    ticket = BY_NAME["ticket"]
    controller = dataclasses.replace(TICKET, role="controller", connector_hash=None)
    assert ticket.verify(issue.issue_ticket(controller, CONTROLLER_KEY), NOW) == controller
    for wrong in (
        dataclasses.replace(TICKET, role="controller"),
        dataclasses.replace(TICKET, connector_hash=None),
        dataclasses.replace(TICKET, role="connector", connector_hash="short"),  # type: ignore[arg-type]
        dataclasses.replace(TICKET, role="root"),  # type: ignore[arg-type]
    ):
        assert refusal(ticket, issue.issue_ticket(wrong, CONTROLLER_KEY)) is Reason.TOKEN_CLAIM


@pytest.mark.parametrize(
    ("kind", "claim", "change"),
    [
        ("authorisation", "paths", {"hash": "A" * 43}),
        ("authorisation", "paths", {"con": "con_1"}),
        ("authorisation", "paths", {"pins": []}),
        ("authorisation", "paths", {"pins": ["sha256/AA"]}),
        ("authorisation", "paths", {"pins": ["sha256/" + "A" * 43 + "="] * 5}),
        ("authorisation", "paths", {"port": 0}),
        ("authorisation", "paths", {"port": 65536}),
        ("authorisation", "paths", {"fqdn": "relay.example/evil"}),
        ("authorisation", "paths", {"fqdn": "user@relay.example"}),
        ("authorisation", "paths", {"ticket": ""}),
        ("authorisation", "paths", {"more": 1}),
        ("config", "relays", {"port": "443"}),
        ("config", "relays", {"relay": "rel_1"}),
        ("config", "cutoffs", {"before": -1}),
        ("config", "cutoffs", {"device": None}),
        ("config", "cutoffs", {"resource": ""}),
    ],
)
def test_s07_nested_objects_are_strict(kind: str, claim: str, change: dict[str, object]) -> None:
    claims = claims_of(BY_NAME[kind])
    nested = claims[claim]
    assert isinstance(nested, list)
    nested[0] = {**nested[0], **change}
    assert refusal(BY_NAME[kind], reforge(BY_NAME[kind], claims)) is Reason.TOKEN_CLAIM


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "10.0.0.0/33", "localhost", "010.0.0.1", 1, None, "FD00::/64"])
def test_egress_exceptions_are_canonical_networks(wrong: object) -> None:
    claims = {**claims_of(BY_NAME["config"]), "egress": ["10.0.0.0/8", wrong]}
    assert refusal(BY_NAME["config"], reforge(BY_NAME["config"], claims)) is Reason.TOKEN_CLAIM


@pytest.mark.parametrize("wrong", [{"net_1": "office"}, {fixed_id("network"): 1}, {fixed_id("network"): "o" * 257}])
def test_network_names_are_checked(wrong: object) -> None:
    claims = {**claims_of(BY_NAME["snapshot"]), "networks": wrong}
    assert refusal(BY_NAME["snapshot"], reforge(BY_NAME["snapshot"], claims)) is Reason.TOKEN_CLAIM


def test_an_assertion_speaks_for_its_own_key_only() -> None:
    token = BY_NAME["assertion"].token
    assert verify.UnverifiedAssertion(token).agent == DEVICE
    with pytest.raises(RemoteError) as caught:
        verify.verify_assertion(token, key=OTHER_KEY.private.public_key(), audience=AUDIENCE, now=NOW)
    assert caught.value.reason is Reason.TOKEN_KEY_UNKNOWN


def test_an_assertion_lives_shortly() -> None:
    long = dataclasses.replace(ASSERTION, expires=NOW + 3600)
    assert refusal(BY_NAME["assertion"], issue.issue_assertion(long, AGENT_KEY)) is Reason.TOKEN_CLAIM


def test_a_keyset_brings_usable_keys() -> None:
    claims = {**claims_of(BY_NAME["keyset"]), "jwks": {"keys": [{"kty": "oct", "k": "AA"}]}}
    assert refusal(BY_NAME["keyset"], reforge(BY_NAME["keyset"], claims)) is Reason.TOKEN_CLAIM


def test_t64_current_and_next_key_verify_side_by_side() -> None:
    following = SigningKey("k2", ec.derive_private_key(0x4004, ec.SECP256R1()))
    both = VerificationKeys.of(CONTROLLER_KEY, following)
    for key in (CONTROLLER_KEY, following):
        token = issue.issue_config(CONFIG, key)
        assert verify.verify_config(token, keys=both, issuer=ISSUER, connector=CONNECTOR, now=NOW) == CONFIG


def test_issuing_refuses_what_no_verifier_would_take() -> None:
    huge = dataclasses.replace(ASSERTION, audience="a" * 20_000)
    with pytest.raises(LocalError) as caught:
        issue.issue_assertion(huge, AGENT_KEY)
    assert caught.value.reason is Reason.LIMIT_EXCEEDED


def test_tokens_are_not_in_reprs() -> None:
    assert BY_NAME["access"].token not in repr(BY_NAME["access"].verify(BY_NAME["access"].token, NOW))
    assert "a.b.c" not in repr(BY_NAME["config"].value) + repr(BY_NAME["authorisation"].value)


@pytest.mark.parametrize("change", [{"prev": 7}, {"prev": 8}, {"pos": 0}, {"hash": "AB" * 32}, {"prev_hash": "a" * 63}])
def test_t70_a_checkpoint_follows_an_earlier_one_and_names_hashes(change: dict[str, object]) -> None:
    sample = BY_NAME["checkpoint"]
    assert refusal(sample, reforge(sample, {**claims_of(sample), **change})) is Reason.TOKEN_CLAIM
