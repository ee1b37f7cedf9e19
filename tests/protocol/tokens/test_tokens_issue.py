"""What is signed, claim by claim: other implementations read these names, so that they are pinned here."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_samples import (
    ACCESS,
    ACL,
    AGENT_KEY,
    ASSERTION,
    AUDIENCE,
    AUTHORISATION,
    BY_NAME,
    CONFIG,
    CONNECTOR,
    CONTROLLER_KEY,
    DEVICE,
    GRANT,
    ISSUER,
    KEYSET,
    NETWORK,
    NOW,
    OTHER_KEY,
    PIN,
    RELAY,
    RESOURCE,
    SAMPLES,
    SESSION,
    SNAPSHOT,
    TICKET,
    USER,
    Sample,
    claims_of,
    fixed_id,
    unb64,
)

from protocol.acl.codec import acl_to_json
from protocol.acl.model import Acl, Entry, NamePattern, PortRange, Ports, Resource
from protocol.control import Cutoff
from protocol.errors import LocalError
from protocol.ids import Epoch, NetworkId, ResourceId, Revision, relay_hash
from protocol.limits import TOKEN_MAX_BYTES
from protocol.reasons import Reason
from protocol.tokens import issue
from protocol.tokens.claims import TicketRole
from protocol.tokens.keys import public_jwk, thumbprint

every = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
HASH = relay_hash(CONNECTOR)
PAYLOADS: dict[str, dict[str, object]] = {
    "snapshot": {
        "iss": ISSUER,
        "aud": DEVICE,
        "sub": USER,
        "iat": NOW,
        "exp": NOW + 86400,
        "kind": "user",
        "sid": SESSION,
        "epoch": 1,
        "rev": 7,
        "acl": acl_to_json(ACL),
        "networks": {NETWORK: "office"},
        "head": "h" * 43,
    },
    "config": {
        "iss": ISSUER,
        "aud": CONNECTOR,
        "iat": NOW,
        "exp": NOW + 86400,
        "net": NETWORK,
        "epoch": 1,
        "rev": 7,
        "acl": acl_to_json(CONFIG.acl),
        "relays": [{"relay": RELAY, "fqdn": "relay.example", "port": 443, "ticket": "a.b.c"}],
        "cutoffs": [
            {"device": DEVICE, "resource": RESOURCE, "before": NOW, "reason": "access_revoked"},
            {"device": DEVICE, "resource": None, "before": NOW, "reason": "device_revoked"},
        ],
        "head": "h" * 43,
        "egress": ["169.254.1.1", "fd00::/64"],
        "checkpoint": "a.b.c",
    },
    "authorisation": {
        "iss": ISSUER,
        "aud": DEVICE,
        "iat": NOW,
        "exp": NOW + 60,
        "res": RESOURCE,
        "rev": 7,
        "paths": [
            {
                "con": CONNECTOR,
                "hash": HASH,
                "pins": [PIN],
                "relay": RELAY,
                "fqdn": "relay.example",
                "port": 443,
                "ticket": "a.b.c",
            }
        ],
    },
    "ticket": {"iss": ISSUER, "aud": RELAY, "iat": NOW, "exp": NOW + 60, "role": "client", "hash": HASH},
    "access": {
        "iss": ISSUER,
        "aud": CONNECTOR,
        "sub": DEVICE,
        "iat": NOW,
        "exp": NOW + 300,
        "jti": "tok_1",
        "user": USER,
        "sid": SESSION,
        "rev": 7,
        "cnf": {"jwk": public_jwk(AGENT_KEY)},
        "pins": [PIN],
        "acl": acl_to_json(ACL),
        "grants": [GRANT],
    },
    "assertion": {
        "iss": DEVICE,
        "sub": DEVICE,
        "aud": AUDIENCE,
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "jti-1",
    },
    "rotation": {
        "iss": CONNECTOR,
        "sub": CONNECTOR,
        "aud": AUDIENCE,
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "jti-1",
        "jwk": public_jwk(OTHER_KEY.private),
    },
    "keyset": {"iss": ISSUER, "aud": RELAY, "iat": NOW, "exp": NOW + 3600, "jwks": KEYSET.jwks},
    "checkpoint": {
        "iss": ISSUER,
        "aud": "log",
        "iat": NOW,
        "exp": NOW + 86400,
        "epoch": 1,
        "pos": 7,
        "hash": "ab" * 32,
        "prev": 3,
        "prev_hash": "cd" * 32,
    },
}


@every
def test_payload_is_exactly_the_documented_one(sample: Sample) -> None:
    assert claims_of(sample) == PAYLOADS[sample.name]


@every
def test_header_names_algorithm_kind_and_key_and_nothing_else(sample: Sample) -> None:
    header = json.loads(unb64(sample.token.split(".")[0]))
    assert header == {"alg": "ES256", "typ": sample.typ, "kid": sample.key.kid}


@every
def test_token_is_canonical_base64url_without_padding(sample: Sample) -> None:
    parts = sample.token.split(".")
    assert len(parts) == 3
    assert len(unb64(parts[2])) == 64
    assert set(sample.token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_assertion_is_signed_under_the_thumbprint_of_the_agents_own_key() -> None:
    token = issue.issue_assertion(ASSERTION, AGENT_KEY)
    header = json.loads(unb64(token.split(".")[0]))
    assert header["kid"] == thumbprint(public_jwk(AGENT_KEY))
    assert BY_NAME["assertion"].verify(token, NOW) == ASSERTION


def test_t22_ticket_tells_a_relay_nothing_about_users_and_resources() -> None:
    ticket = BY_NAME["ticket"]
    text = unb64(ticket.token.split(".")[1]).decode()
    for secret in (DEVICE, USER, SESSION, RESOURCE, GRANT, NETWORK, CONNECTOR, PIN):
        assert secret not in text


def test_no_private_key_leaves_with_a_token() -> None:
    for sample in SAMPLES:
        assert '"d"' not in unb64(sample.token.split(".")[1]).decode()


def test_tokens_above_the_verifiers_limit_are_not_issued() -> None:
    many = tuple(f"2001:db8::{index:x}" for index in range(1, 60_000))
    path = AUTHORISATION.paths[0]
    authorisation = dataclasses.replace(AUTHORISATION, paths=(dataclasses.replace(path, ticket="x" * TOKEN_MAX_BYTES),))
    with pytest.raises(LocalError) as caught:
        issue.issue_authorisation(authorisation, CONTROLLER_KEY)
    assert caught.value.reason is Reason.LIMIT_EXCEEDED
    with pytest.raises(LocalError) as caught:
        issue.issue_config(dataclasses.replace(CONFIG, egress_allow=many), CONTROLLER_KEY)
    assert caught.value.reason is Reason.LIMIT_EXCEEDED


names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20)
times = st.integers(NOW - 10, NOW)
ports = st.builds(
    Ports,
    tcp=st.lists(st.integers(1, 65535), max_size=3, unique=True).map(
        lambda numbers: tuple(PortRange(number, number) for number in sorted(numbers))
    ),
    icmp=st.booleans(),
)


@st.composite
def acls(draw: st.DrawFn) -> Acl:
    entries = []
    for index in range(draw(st.integers(0, 4))):
        resource = Resource(
            ResourceId(fixed_id("resource", index)),
            draw(names),
            NETWORK,
            NamePattern((f"host{index}", "corp", "internal")),
            draw(ports),
            draw(st.integers(30, 86400)),
        )
        entries.append(Entry(resource, (GRANT,), draw(st.none() | st.integers(NOW, NOW + 10**6))))
    return Acl(tuple(entries))


@settings(max_examples=40, deadline=None)
@given(acl=acls(), name=names, epoch=st.integers(1, 2**40), revision=st.integers(0, 2**40), issued_at=times)
def test_any_snapshot_comes_back_as_it_was(acl: Acl, name: str, epoch: int, revision: int, issued_at: int) -> None:
    claims = dataclasses.replace(
        SNAPSHOT,
        acl=acl,
        networks={NETWORK: name, NetworkId(fixed_id("network", 2)): ""},
        epoch=Epoch(epoch),
        revision=Revision(revision),
        issued_at=issued_at,
    )
    assert BY_NAME["snapshot"].verify(issue.issue_snapshot(claims, CONTROLLER_KEY), NOW) == claims


@settings(max_examples=30, deadline=None)
@given(acl=acls(), revision=st.integers(0, 2**40), jti=st.text("abcdef_-", min_size=1, max_size=64), issued_at=times)
def test_any_access_token_comes_back_as_it_was(acl: Acl, revision: int, jti: str, issued_at: int) -> None:
    claims = dataclasses.replace(ACCESS, acl=acl, revision=Revision(revision), jti=jti, issued_at=issued_at)
    assert BY_NAME["access"].verify(issue.issue_access(claims, CONTROLLER_KEY), NOW) == claims


ROLES: tuple[TicketRole, ...] = ("client", "connector")
cutoffs = st.builds(
    Cutoff,
    device=st.just(DEVICE),
    resource=st.none() | st.just(RESOURCE),
    before=st.integers(0, 2**40),
    reason=st.sampled_from(["access_revoked", "device_revoked", "session_ended"]),
)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(cutoffs, max_size=5), role=st.sampled_from(ROLES), issued_at=times)
def test_any_config_and_ticket_come_back_as_they_were(cuts: list[Cutoff], role: TicketRole, issued_at: int) -> None:
    config = dataclasses.replace(CONFIG, cutoffs=tuple(cuts), issued_at=issued_at)
    assert BY_NAME["config"].verify(issue.issue_config(config, CONTROLLER_KEY), NOW) == config
    ticket = dataclasses.replace(TICKET, role=role, issued_at=issued_at)
    assert BY_NAME["ticket"].verify(issue.issue_ticket(ticket, CONTROLLER_KEY), NOW) == ticket
