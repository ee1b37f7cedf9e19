"""What `make demo KEEP=1` tells of the hosts, and how a demo ends."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.demo import end_like_ctrl_c, keep
from lab.hosts import Lab, NamespaceHost
from lab.processes import LabError, Processes
from lab.product import Product


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path, "ost7")
    lab.hosts = {name: NamespaceHost(name, f"ost7-{name}") for name in ("laptop", "cloud", "office")}
    return lab


def test_a_lab_that_stays_up_tells_how_to_be_the_user_and_the_administrator(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda: "")
    keep(lab)
    lines = capsys.readouterr().out.splitlines()
    (user,) = [line for line in lines if "netns exec ost7-laptop" in line]
    (admin,) = [line for line in lines if "netns exec ost7-cloud" in line]
    assert "env PATH=" in user
    assert f"OSTIARY_RUNTIME_DIR={lab.folder}/run/client" in user
    assert "env PATH=" in admin
    assert f"HOME={lab.folder}/home" in admin
    assert any("ada@corp.example" in line for line in lines)


def test_a_client_that_ends_at_once_is_named_with_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, script in (("ostiaryd", "echo 'error: The port is already in use.'; exit 2"), ("ostiary", "echo '{}'")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr("lab.product.BIN", tmp_path)
    with pytest.raises(LabError, match=r"ostiaryd ended: error: The port is already in use\."):
        Product(Processes(tmp_path / "lab")).start_client()


@pytest.fixture
def handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("handlers")
def test_sigterm_ends_the_demo_like_ctrl_c_and_a_second_one_leaves_the_removal_alone() -> None:
    end_like_ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("handlers")
def test_a_lab_without_a_terminal_stays_until_a_signal(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    monkeypatch.setattr(signal, "pause", lambda: signal.raise_signal(signal.SIGTERM))
    end_like_ctrl_c()
    keep(lab)
