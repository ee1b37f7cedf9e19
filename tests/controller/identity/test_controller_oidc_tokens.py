"""ID tokens: every way of forging one is refused (T-1, T-4, T-5, T-6; OpenID Connect Core section 3.1.3.7)."""

import base64
import json
from typing import Any

import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey
from rogue_provider import CLIENT, Key, claims, flow, forged, jwks, key_set, rsa_key, sign

from controller.identity.oidc import ALGORITHMS
from controller.identity.oidc_tokens import (
    ISSUED_MAX_AGE_S,
    ProviderKeys,
    UnknownKeyError,
    parse_jwks_untrusted,
    parse_userinfo_untrusted,
    person_of,
    verify_id_token_untrusted,
)
from protocol.errors import RefusedError
from protocol.limits import CLOCK_LEEWAY_S
from protocol.reasons import Reason

NOW = 1_800_000_000.0
ISSUER = "https://id.corp.example"
KEY = rsa_key()
EC = ECKey.generate_key("P-256", {"kid": "e1"})
FLOW = flow(ISSUER, now=NOW)


def verify(token: str, *keys: Key, **more: Any) -> dict[str, Any]:
    given = {
        "flow": FLOW,
        "client_id": CLIENT,
        "algorithms": ALGORITHMS,
        "access_token": None,
        "now": NOW,
        **more,
    }
    return verify_id_token_untrusted(token, key_set(*(keys or (KEY, EC))), **given)


def refused(token: str, *keys: Key, **more: Any) -> str:
    with pytest.raises(RefusedError) as failed:
        verify(token, *keys, **more)
    assert failed.value.reason is Reason.IDENTITY_REFUSED
    return failed.value.detail


@pytest.mark.parametrize("key", [KEY, EC], ids=["RS256", "ES256"])
def test_a_true_token_is_accepted(key: Key) -> None:
    assert verify(sign(claims(FLOW, now=NOW), key))["sub"] == "248289761001"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://evil.example"},
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"aud": "somebody"},
        {"aud": ["somebody"]},
        {"aud": [CLIENT, "somebody"]},
        {"aud": [CLIENT, 7]},
        {"aud": None},
        {"azp": "somebody"},
        {"aud": [CLIENT, "somebody"], "azp": "somebody"},
        {"nonce": "m" * 43},
        {"nonce": None},
        {"nonce": 7},
        {"exp": int(NOW) - CLOCK_LEEWAY_S - 1},
        {"exp": None},
        {"exp": "1900000000"},
        {"exp": True},
        {"exp": -1},
        {"exp": 1e300},
        {"iat": int(NOW) + CLOCK_LEEWAY_S + 1},
        {"iat": int(NOW) - ISSUED_MAX_AGE_S - CLOCK_LEEWAY_S - 1},
        {"iat": None},
        {"nbf": int(NOW) + 3600},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a" * 256},
        {"sub": "a\nb"},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    ],
    ids=str,
)
def test_t1_each_claim_is_checked(change: dict[str, Any]) -> None:
    refused(sign(claims(FLOW, now=NOW, **change), KEY), access_token="an access token")


def test_t1_several_audiences_need_us_as_the_authorised_party() -> None:
    content = claims(FLOW, now=NOW, aud=[CLIENT, "somebody"], azp=CLIENT)
    assert verify(sign(content, KEY))["azp"] == CLIENT


def test_t1_a_sign_in_that_was_asked_to_be_fresh_is_fresh() -> None:
    fresh = flow(ISSUER, now=NOW, max_age_s=0)
    refused(sign(claims(fresh, now=NOW), KEY), flow=fresh)
    refused(sign(claims(fresh, now=NOW, auth_time=int(NOW) - 3600), KEY), flow=fresh)
    assert verify(sign(claims(fresh, now=NOW, auth_time=int(NOW)), KEY), flow=fresh)
    slow = flow(ISSUER, now=NOW - 300, max_age_s=0)
    assert verify(sign(claims(slow, now=NOW, auth_time=int(NOW) - 290), KEY), flow=slow), "consent takes its time"


def test_t4_a_token_chooses_neither_algorithm_nor_key() -> None:
    content = claims(FLOW, now=NOW)
    pem = KEY.as_pem(private=False)
    other = rsa_key("k2")
    for header in ({"alg": "none"}, {"alg": "None", "kid": "k1"}, {"alg": "HS256", "kid": "k1"}, {"alg": 7}, {}):
        refused(forged(content, header))
        refused(forged(content, header, pem))
        refused(forged(content, header, json.dumps(KEY.as_dict(private=False)).encode()))
    embedded = {"alg": "RS256", "kid": "k1", "jwk": other.as_dict(private=False)}
    refused(forged(content, embedded, pem))
    refused(sign(content, other, kid="k1"))
    refused(sign(content, KEY), algorithms=("ES256",))
    refused(sign(content, KEY, kid="e1"))
    refused(sign(content, EC, kid="k1"))
    refused(forged(content, {"alg": "RS256", "kid": "k1", "crit": ["x"]}))


def test_t14_an_unknown_key_says_so_because_there_may_be_a_new_one() -> None:
    with pytest.raises(UnknownKeyError):
        verify(sign(claims(FLOW, now=NOW), rsa_key("k9")))


def test_a_token_without_kid_is_judged_by_the_only_key_that_fits() -> None:
    content = claims(FLOW, now=NOW)
    assert verify(sign(content, KEY, kid=None), KEY, EC)
    refused(sign(content, KEY, kid=None), KEY, rsa_key("k2"))


def test_t5_t6_a_token_has_one_spelling() -> None:
    token = sign(claims(FLOW, now=NOW), KEY)
    head, body, signature = token.split(".")
    twice = b'{"iss":"https://evil.example",' + json.dumps(claims(FLOW, now=NOW)).encode()[1:]
    for other in (
        f"{token}=",
        f"{token} ",
        f"{head}.{body}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature}.x",
        f"{head}.{base64.b64encode(b'{}').decode()}.{signature}",
        sign(twice, KEY),
        sign(b"[]", KEY),
        "",
        "x" * 70_000,
    ):
        refused(other)


def test_keys_that_are_of_no_use_are_left_out() -> None:
    with pytest.warns(SecurityWarning):
        weak = rsa_key("weak", 1024)
    symmetric = OctKey.generate_key(256, {"kid": "oct"})
    curve = ECKey.generate_key("secp256k1", {"kid": "bitcoin"})
    raw = json.loads(jwks(weak, KEY, curve))
    raw["keys"] += [
        {**symmetric.as_dict(private=True)},
        {**EC.as_dict(private=False), "use": "enc", "kid": "enc"},
        {"kty": "RSA", "n": "!", "e": "AQAB", "kid": "broken"},
        "text",
        {"kty": 7},
    ]
    assert set(parse_jwks_untrusted(json.dumps(raw).encode()).named) == {"k1"}


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b'{"keys":[]}', b'{"keys":7}', jwks(KEY, KEY), json.dumps({"keys": [{}] * 65}).encode()],
    ids=["nothing", "no member", "no keys", "no list", "one name twice", "too many"],
)
def test_what_is_no_key_set_is_refused(raw: bytes) -> None:
    with pytest.raises(RefusedError):
        parse_jwks_untrusted(raw)


def test_userinfo_is_about_the_same_person() -> None:
    assert parse_userinfo_untrusted(b'{"sub":"a","email":"x"}', "a")["email"] == "x"
    for raw in (b'{"sub":"b"}', b"{}", b"[]", b""):
        with pytest.raises(RefusedError):
            parse_userinfo_untrusted(raw, "a")


def person(groups_claim: str | None = "groups", **more: Any) -> Any:
    return person_of({"sub": "a", **more}, groups_claim=groups_claim, now=NOW)


def test_t2_an_address_counts_when_the_provider_has_verified_it() -> None:
    assert person(email="a@b.example", email_verified=True).email == "a@b.example"
    for verified in (False, None, "true", 1):
        assert person(email="a@b.example", email_verified=verified).email is None


def test_groups_are_texts() -> None:
    assert person(groups=["a", "b"]).groups == {"a", "b"}
    assert person(groups="a").groups == {"a"}
    assert person(groups=[]).groups == frozenset()
    assert person(groups_claim=None, groups=["a"]).groups is None
    for value in ([1], {"a": 1}, ["a"] * 1001):
        with pytest.raises(RefusedError):
            person(groups=value)


def test_groups_that_the_provider_does_not_state_are_not_known() -> None:
    assert person().groups is None
    for value in (None, "", " "):
        assert person(groups=value).groups is None
    overage = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://idp.example/me"}}}
    assert person(**overage).groups is None
    for value in ([], ["a"]):
        assert person(groups=value, **overage).groups is None, "the list is elsewhere"
    for names in ({"roles": "src1"}, ["groups"], None):
        assert person(groups=["a"], _claim_names=names).groups == {"a"}


@pytest.mark.parametrize(
    ("amr", "passed"), [(["pwd"], False), (["pwd", "otp"], True), (["mfa"], True), ("mfa", False), ([7], False)]
)
def test_the_providers_second_factor_is_what_it_says_of_it(amr: Any, passed: bool) -> None:
    assert person(amr=amr).second_factor is passed


def test_the_time_of_the_sign_in_is_the_providers_but_never_to_come() -> None:
    assert person(auth_time=int(NOW) - 3600).authenticated_s == int(NOW) - 3600
    assert person(auth_time=int(NOW) + 3600).authenticated_s == int(NOW)


def test_a_time_that_the_provider_does_not_state_is_not_known() -> None:
    assert person().authenticated_s is None


def test_an_empty_set_verifies_nothing() -> None:
    with pytest.raises(RefusedError):
        verify_id_token_untrusted(
            sign(claims(FLOW, now=NOW), KEY),
            ProviderKeys({}, ()),
            flow=FLOW,
            client_id=CLIENT,
            algorithms=ALGORITHMS,
            access_token=None,
            now=NOW,
        )
