"""RFC 8628 from the device's side, and enrolment of service accounts."""

from typing import Any

import pytest
from scripted_http import Script, scripted_http
from tls_material import tls_material

from client.daemon import sign_in
from client.daemon.identity import Controller
from client.daemon.sign_in import SignIn, SignInPrompt, find_controller
from protocol.enrolment import ENROLMENT_AGENT, EnrolmentToken
from protocol.errors import LocalError, OstiaryError, RefusedError, RemoteProtocolError
from protocol.reasons import Reason
from protocol.tokens.keys import SigningKey, VerificationKeys, generate_key, public_jwk
from protocol.tokens.verify import verify_assertion
from runtime.clock import SystemClock

KEY = generate_key()
JWKS = VerificationKeys.of(SigningKey("k", generate_key())).to_jwks()
BEGUN = {
    "device_code": "secret-code",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://controller.example/device",
    "verification_uri_complete": "https://controller.example/device?user_code=WDJB-MJHT",
    "expires_in": 600,
    "interval": 1,
}
GRANTED = {
    "device": "dev_" + "D" * 22,
    "user": "usr_" + "U" * 22,
    "session": "ses_" + "S" * 22,
    "session_expires": 1_900_000_000,
    "issuer": "ctl_x",
    "controller_url": "https://controller.example",
    "jwks": JWKS,
}


def problem(reason: Reason) -> dict[str, str]:
    return {"error": reason.code, "code": reason.code}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits are noted, not waited."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(sign_in.asyncio, "sleep", sleep)
    return waits


class Server:
    """Answers /token from a list and remembers every body."""

    def __init__(self, *answers: tuple[int, Any], begun: dict[str, Any] | None = None) -> None:
        self.answers = list(answers)
        self.begun = begun or BEGUN
        self.bodies: list[tuple[str, Any]] = []

    def __call__(self, path: str, body: Any) -> tuple[int, Any]:
        self.bodies.append((path, body))
        if path.endswith("/device_authorization"):
            return 200, self.begun
        return self.answers.pop(0)


async def sign_in_with(script: Script) -> tuple[Any, list[SignInPrompt]]:
    shown: list[SignInPrompt] = []

    async def prompt(each: SignInPrompt) -> None:
        shown.append(each)

    async with scripted_http(script) as url:
        identity = await SignIn(Controller(url), KEY, SystemClock(), sock_mark=None).by_device_code(prompt)
    return identity, shown


async def test_a_person_approves_after_a_while(quick: list[float]) -> None:
    server = Server((400, problem(Reason.AUTHORIZATION_PENDING)), (200, GRANTED))
    identity, shown = await sign_in_with(server)
    assert (identity.device, identity.user, identity.session) == (
        GRANTED["device"],
        GRANTED["user"],
        GRANTED["session"],
    )
    assert identity.signed_in
    assert not identity.service
    assert [each.user_code for each in shown] == ["WDJB-MJHT"]
    assert quick == [1.0, 1.0]


async def test_each_request_proves_the_key_to_the_url_that_was_dialled() -> None:
    server = Server((200, GRANTED))
    shown: list[SignInPrompt] = []

    async def prompt(each: SignInPrompt) -> None:
        shown.append(each)

    async with scripted_http(server) as url:
        await SignIn(Controller(url), KEY, SystemClock(), sock_mark=None).by_device_code(prompt)
        proofs = [body["proof"] for _, body in server.bodies]
        assert len(set(proofs)) == 2
        for proof in proofs:
            asserted = verify_assertion(proof, key=KEY.public_key(), audience=url, now=SystemClock().wall())
            assert asserted.agent == ENROLMENT_AGENT
    assert server.bodies[0][1]["jwk"] == public_jwk(KEY)


async def test_slow_down_adds_five_seconds(quick: list[float]) -> None:
    await sign_in_with(Server((400, problem(Reason.SLOW_DOWN)), (400, problem(Reason.SLOW_DOWN)), (200, GRANTED)))
    assert quick == [1.0, 6.0, 11.0]


async def test_slowing_down_ends_at_a_minute(quick: list[float]) -> None:
    await sign_in_with(Server(*[(400, problem(Reason.SLOW_DOWN))] * 12, (200, GRANTED)))
    assert quick[-2:] == [56.0, 60.0]


async def test_a_controller_that_stumbles_is_asked_again() -> None:
    identity, _ = await sign_in_with(Server((503, {}), (200, GRANTED)))
    assert identity.device == GRANTED["device"]


@pytest.mark.parametrize("reason", [Reason.SIGN_IN_DENIED, Reason.SIGN_IN_EXPIRED, Reason.USER_DISABLED])
async def test_a_refusal_ends_it(reason: Reason) -> None:
    with pytest.raises(RefusedError) as caught:
        await sign_in_with(Server((400, problem(reason))))
    assert caught.value.reason is reason


@pytest.mark.parametrize("uri", ["http://controller.example/device", "javascript:alert(1)", "file:///etc/passwd"])
async def test_t74_only_a_web_page_over_https_is_shown(uri: str) -> None:
    with pytest.raises(LocalError):
        await sign_in_with(Server(begun={**BEGUN, "verification_uri_complete": uri}))


@pytest.mark.parametrize(
    "answer", [{}, [], {**GRANTED, "device": "usr_x"}, {**GRANTED, "jwks": {"keys": [{}]}}, {**GRANTED, "session": 5}]
)
async def test_a_malformed_identity_is_refused(answer: Any) -> None:
    with pytest.raises(RemoteProtocolError):
        await sign_in_with(Server((200, answer)))


async def test_a_service_account_enrols_by_its_token() -> None:
    account = {"device": "dev_" + "D" * 22, "service_account": "svc_" + "A" * 22, "issuer": "ctl_x", "jwks": JWKS}
    bodies: list[Any] = []

    def script(path: str, body: Any) -> tuple[int, Any]:
        bodies.append((path, body))
        return 200, account

    async with scripted_http(script) as url:
        client = SignIn(Controller(url), KEY, SystemClock(), sock_mark=None)
        identity = await client.by_token(EnrolmentToken(url, None, "service", "s" * 43))
    assert (identity.user, identity.service, identity.session) == (account["service_account"], True, "")
    assert bodies[0][0] == "/api/v1/enroll"
    assert (bodies[0][1]["kind"], bodies[0][1]["secret"]) == ("service", "s" * 43)


async def test_a_connectors_token_is_not_sent_anywhere() -> None:
    client = SignIn(Controller("http://127.0.0.1:1"), KEY, SystemClock(), sock_mark=None)
    with pytest.raises(LocalError) as caught:
        await client.by_token(EnrolmentToken("https://x", None, "connector", "s" * 43))
    assert caught.value.reason is Reason.ENROLMENT_INVALID


async def test_a_pinned_controller_needs_its_ca() -> None:
    material = tls_material()
    async with scripted_http(lambda _path, _body: (200, material.ca_pem)) as url:
        found = await find_controller(url + "/", material.ca_pin, sock_mark=None)
        assert (found.url, found.pin, found.ca_pem) == (url, material.ca_pin, material.ca_pem)
        other = tls_material("elsewhere").ca_pin
        with pytest.raises(OstiaryError) as caught:
            await find_controller(url, other, sock_mark=None)
    assert caught.value.reason is Reason.PIN_MISMATCH
    assert material.ca_pin in caught.value.detail
    assert other in caught.value.detail
