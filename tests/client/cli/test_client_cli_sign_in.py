"""`ostiary up` and `ostiary login`: what is asked of the daemon, what the person sees, how it ends."""

import io
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_daemon import FakeDaemon

from client.cli.sign_in import split_url
from client.cli.user import VERIFY_S
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason

PIN = "sha256/" + "A" * 43 + "="
PROMPT = {
    "kind": "sign_in",
    "verification_uri": "https://c.example/device",
    "verification_uri_complete": "https://c.example/device?user_code=WDJB-MJHT",
    "user_code": "WDJB-MJHT",
}


def test_up_shows_page_and_code_and_waits_until_online(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.events["up"] = [PROMPT, PROMPT]
    daemon.results["up"] = {"state": "online", "user": "grace@corp.example"}
    ran = ostiary("up", "https://c.example/", "--ca-pin", PIN, "--no-browser", "--timeout", "60s")
    assert ran.code == 0
    assert daemon.asked == [("up", {"url": "https://c.example", "ca_pin": PIN, "verify_s": VERIFY_S})]
    assert ran.err.splitlines() == [
        "To sign in, open this page and approve:",
        "",
        "    https://c.example/device?user_code=WDJB-MJHT",
        "",
        "Check that it shows the code WDJB-MJHT.",
    ]
    assert ran.out.startswith("online as grace@corp.example after 0.")


def test_up_json_keeps_stdout_for_the_result(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.events["up"] = [PROMPT]
    daemon.results["up"] = {"state": "online"}
    ran = ostiary("up", "--json")
    assert ran.json == {"schema": 1, "state": "online"}
    assert "user_code=WDJB-MJHT" in ran.err


def test_up_takes_the_pin_from_the_url(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["up"] = {"state": "online"}
    assert ostiary("up", f"c.example#pin={PIN}").code == 0
    assert daemon.asked == [("up", {"url": "https://c.example", "ca_pin": PIN, "verify_s": VERIFY_S})]


@pytest.mark.parametrize(
    "arguments",
    [
        ("c.example", "--ca-pin", "sha256/short"),
        ("c.example#pin=nonsense",),
        ("c.example#key=1",),
        (f"c.example#pin={PIN}", "--ca-pin", "sha256/" + "B" * 43 + "="),
        ("--ca-pin", PIN),
        ("--timeout", "soon"),
        ("--timeout", "0"),
        ("--timeout", "48h"),
        ("--token-file", "-"),
    ],
)
def test_up_refuses_nonsense_before_it_asks(
    ostiary: CommandLine, daemon: FakeDaemon, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(" \n"))
    ran = ostiary("up", *arguments)
    assert (ran.code, ran.out, daemon.asked) == (2, "", [])
    assert ran.err.startswith("error: ")


def test_up_reads_the_token_from_a_file_or_standard_input_only(
    ostiary: CommandLine, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.results["up"] = {"state": "online"}
    path = tmp_path / "token"
    path.write_text("otk_abc\n")
    assert ostiary("up", "--token-file", str(path)).code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("otk_def\n"))
    assert ostiary("up", "--token-file", "-").code == 0
    assert [args["token"] for _, args in daemon.asked] == ["otk_abc", "otk_def"]
    assert ostiary("up", "--token-file", str(tmp_path / "none")).code == 2


def test_up_ends_in_time(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.hang.add("up")
    ran = ostiary("up", "--timeout", "200ms")
    assert (ran.code, ran.out) == (7, "")
    assert ran.err.splitlines() == ["error: It took too long. (not online after 0.2 s)", "next: ostiary doctor"]


def test_up_that_nobody_approved(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.hang.add("login")
    daemon.events["login"] = [PROMPT]
    ran = ostiary("login", "--timeout", "500ms")
    assert ran.code == 7
    assert ran.err.splitlines()[-1] == "next: Approve the sign-in sooner: `ostiary login` shows a new page."


@pytest.mark.parametrize(
    ("arguments", "reason", "code", "last"),
    [
        (("c.example",), Reason.NEEDS_ROOT, 6, "next: Run the same command with sudo."),
        ((), Reason.PERMISSION_DENIED, 6, "next: Use sudo, or let whoever is signed in do it."),
        ((), Reason.CONFIG_INVALID, 2, "next: ostiary up https://CONTROLLER"),
        ((), Reason.SIGN_IN_DENIED, 1, "next: Start again with `ostiary login`."),
        ((), Reason.SIGN_IN_EXPIRED, 4, "next: Start again with `ostiary login`."),
        (
            ("c.example",),
            Reason.PIN_MISMATCH,
            1,
            "next: Compare the pins with an administrator; somebody may be in between.",
        ),
    ],
)
def test_up_refused(
    ostiary: CommandLine, daemon: FakeDaemon, arguments: tuple[str, ...], reason: Reason, code: int, last: str
) -> None:
    daemon.results["up"] = RefusedError(reason, "as said")
    ran = ostiary("up", *arguments)
    assert (ran.code, ran.out, ran.err.splitlines()[-1]) == (code, "", last)


def test_up_with_a_token_on_a_host_that_is_somebody_already(
    ostiary: CommandLine, daemon: FakeDaemon, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("otk_abc")
    daemon.results["up"] = RefusedError(Reason.ALREADY_EXISTS, "this key belongs to device dev_x")
    ran = ostiary("up", "--token-file", str(token))
    assert (ran.code, "ostiary admin device revoke" in ran.err) == (1, True)


def test_up_that_does_not_come_online_says_what_is(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["up"] = {"state": "connecting"}
    ran = ostiary("up")
    assert (ran.code, ran.out.splitlines()) == (3, ["connecting", "next: ostiary doctor"])


def test_up_opens_a_browser_only_on_a_desktop_and_only_web_pages(
    ostiary: CommandLine, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[list[str]] = []
    opener = tmp_path / "xdg-open"
    opener.touch()
    monkeypatch.setattr("client.cli.sign_in.XDG_OPEN", opener)
    monkeypatch.setattr("subprocess.Popen", lambda argv, **_: opened.append(argv))
    daemon.results["up"] = {"state": "online"}
    daemon.events["up"] = [PROMPT]
    assert ostiary("up").code == 0
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert ostiary("up", "--no-browser").code == 0
    assert opened == []
    assert ostiary("up").code == 0
    assert opened == [[str(opener), PROMPT["verification_uri_complete"]]]
    daemon.events["up"] = [{**PROMPT, "verification_uri_complete": "file:///etc/passwd"}]
    assert ostiary("up").code == 0
    assert len(opened) == 1


def test_split_url() -> None:
    assert split_url("https://c.example/x/", None) == ("https://c.example/x", None)
    assert split_url("c.example:8443#pin=" + PIN.replace("=", "%3D"), PIN) == ("https://c.example:8443", PIN)
    with pytest.raises(LocalError):
        split_url("c.example", "sha1/abc")


def test_up_draws_the_page_as_a_qr_code(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.events["up"] = [PROMPT]
    daemon.results["up"] = {"state": "online", "health": "ready", "networks": [{"connector_name": "office-1"}]}
    drawn = ostiary("up", "--qr", "--no-browser")
    plain = ostiary("up", "--no-browser")
    assert set("\u2580\u2584\u2588") & set(drawn.err)
    assert not set("\u2580\u2584\u2588") & set(plain.err)
    assert "office-1 answers" in drawn.out


def test_up_is_not_ok_while_no_connector_answers(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    dead = {"network_name": "office", "state": "unreachable", "reason": "no_connector"}
    daemon.results["up"] = {"state": "online", "health": "unreachable", "networks": [dead]}
    ran = ostiary("up")
    assert ran.code == 3
    assert ran.out.splitlines()[-1] == "next: ostiary doctor"


@pytest.mark.parametrize("command", [("up",), ("admin", "login")])
def test_a_plain_http_address_is_refused_as_the_argument_that_it_is(
    ostiary: CommandLine, command: tuple[str, ...]
) -> None:
    ran = ostiary(*command, "http://ostiary.corp.example")
    assert ran.code == 2
    assert ran.err.splitlines()[0].startswith("error: This is not the address of a controller. (")
    assert "https://HOST" in ran.err
    assert "key" not in ran.err
