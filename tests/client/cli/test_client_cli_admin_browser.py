"""`ostiary admin login --browser` against the real controller: the page approves, the command goes on by itself."""

import http.cookiejar
import re
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from command_line import CommandLine
from live_controller import OWNER, PASSWORD, LiveController

from client.cli import admin_browser
from client.cli.admin_session import Api, load_stored
from protocol.errors import RefusedError
from protocol.reasons import Reason


@contextmanager
def somebody(controller: LiveController, monkeypatch: pytest.MonkeyPatch, decision: str) -> Iterator[list[str]]:
    """A person who opens the page that the command shows, signs in there and decides."""
    said: list[str] = []
    people: list[threading.Thread] = []

    def act(page: str) -> None:
        base = page.partition("/device?")[0]
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        browser = urllib.request.build_opener(jar, urllib.request.HTTPSHandler(context=context))
        browser.addheaders = [("Origin", base), ("Sec-Fetch-Site", "same-origin")]
        code = parse_qs(urlsplit(page).query)["user_code"][0]
        for path, form in (
            ("sign-in", {"email": OWNER, "password": PASSWORD, "user_code": code}),
            ("decision", {"user_code": code, "decision": decision}),
        ):
            with browser.open(f"{base}/device/{path}", urlencode(form).encode(), timeout=20) as answer:
                said.append(answer.read().decode())

    def shown(*lines: str) -> None:
        page = next(line.strip() for line in lines if "/device?user_code=" in line)
        code = re.search(r"user_code=([A-Z-]+)$", page)
        assert code is not None
        assert code[1] in lines[-1], "what the page will show"
        people.append(threading.Thread(target=act, args=(page,), daemon=True))
        people[-1].start()

    monkeypatch.setattr(admin_browser, "say", shown)
    yield said
    for person in people:
        person.join(20)


def test_the_browser_signs_the_command_line_in(
    ostiary: CommandLine, controller: LiveController, monkeypatch: pytest.MonkeyPatch
) -> None:
    with somebody(controller, monkeypatch, "approve") as said:
        ran = ostiary("admin", "login", controller.url, "--ca-pin", controller.ca_pin, "--browser", "--json")
    assert (ran.code, ran.json["email"], ran.json["role"]) == (0, OWNER, "owner"), ran.err
    assert "Command line approved" in said[-1]
    assert ostiary("admin", "whoami", "--json").json["email"] == OWNER
    stored = load_stored()
    assert stored.browser
    assert stored.token not in ran.out + ran.err
    # Again, without a word: there and as before. The former sign-in is not needed for it.
    with somebody(controller, monkeypatch, "approve"):
        assert ostiary("admin", "login").code == 0
    assert load_stored().token != stored.token


def test_a_denial_ends_the_wait(
    ostiary: CommandLine, controller: LiveController, monkeypatch: pytest.MonkeyPatch
) -> None:
    with somebody(controller, monkeypatch, "deny"):
        ran = ostiary("admin", "login", controller.url, "--ca-pin", controller.ca_pin, "--browser")
    assert ran.code != 0
    assert "sign_in_denied" in ran.err


def test_the_browser_asks_for_everything_itself(ostiary: CommandLine, controller: LiveController) -> None:
    ran = ostiary("admin", "login", controller.url, "--browser", "--email", OWNER)
    assert (ran.code, "--browser asks on the page" in ran.err) == (2, True)


def test_an_old_sign_in_names_the_one_command_that_helps() -> None:
    from client.cli.admin_session import _read_untrusted
    from runtime.http import Response

    body = b'{"code": "sign_in_not_recent", "title": "t", "detail": "d", "next": "Sign in again and repeat it."}'
    with pytest.raises(RefusedError) as refused:
        _read_untrusted(Response(403, {}, body), "me/second-factor")
    assert refused.value.reason is Reason.SIGN_IN_NOT_RECENT
    assert getattr(refused.value, "next_step", "").startswith("ostiary admin login,")


class SlowApi(Api):
    """A controller that says in turn what it is told to."""

    def __init__(self, *answers: dict[str, object] | Reason) -> None:
        self.url = "https://c.example"
        self.answers = list(answers)
        self.asked = 0

    def post(self, path: str, body: object = None) -> dict[str, object]:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Reason):
            raise RefusedError(answer)
        return answer


BEGUN: dict[str, object] = {
    "device_code": "x",
    "user_code": "BCDF-GHJK",
    "verification_uri_complete": "https://c.example/device?user_code=BCDF-GHJK",
    "interval": 2,
}


def test_s9_it_slows_down_when_it_is_told_and_goes_on_when_the_controller_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(admin_browser.time, "sleep", slept.append)
    api = SlowApi(BEGUN, Reason.SLOW_DOWN, Reason.CONTROLLER_UNREACHABLE, {"access_token": "ost_x"})
    assert admin_browser.sign_in(api) == "ost_x"
    assert slept == [2.0, 7.0, 7.0]


def test_s9_the_controllers_hint_is_heeded() -> None:
    from client.cli.admin_session import _read_untrusted
    from runtime.http import Response

    for body in (b'{"code": "rate_limited"}', b"busy"):
        with pytest.raises(RefusedError) as refused:
            _read_untrusted(Response(429, {"retry-after": "30"}, body), "token")
        assert getattr(refused.value, "retry_after_s", 0.0) == 30.0


def test_s9_it_does_not_wait_longer_than_the_code_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(admin_browser.time, "sleep", sleep)
    monkeypatch.setattr(admin_browser.time, "monotonic", lambda: now[0])
    api = SlowApi({**BEGUN, "expires_in": 9}, *[Reason.AUTHORIZATION_PENDING] * 9)
    with pytest.raises(RefusedError) as refused:
        admin_browser.sign_in(api)
    assert refused.value.reason is Reason.SIGN_IN_EXPIRED
    assert api.asked <= 6


def test_the_page_is_opened_on_a_desktop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[list[str]] = []
    opener = tmp_path / "xdg-open"
    opener.touch()
    monkeypatch.setattr("client.cli.sign_in.XDG_OPEN", opener)
    monkeypatch.setattr("subprocess.Popen", lambda argv, **_: opened.append(argv))
    monkeypatch.setattr(admin_browser.time, "sleep", lambda _: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for display in ("", ":0"):
        monkeypatch.setenv("DISPLAY", display)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        assert admin_browser.sign_in(SlowApi(BEGUN, {"access_token": "ost_x"})) == "ost_x"
    assert opened == [[str(opener), BEGUN["verification_uri_complete"]]]


@pytest.mark.parametrize("page", ["javascript:alert(1)", "https://c.example/\x1b[2J", 7])
def test_t74_only_a_page_is_shown(page: object) -> None:
    from protocol.errors import RemoteProtocolError

    with pytest.raises(RemoteProtocolError):
        admin_browser.sign_in(SlowApi({**BEGUN, "verification_uri_complete": page}))
