"""The completion scripts do in real shells what Tab should do; a shell that is not here is skipped, and says so."""

import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_daemon import FakeDaemon

from client.cli.completion import walk

BASH = shutil.which("bash") or ""
ZSH, FISH = shutil.which("zsh"), shutil.which("fish")


def complete_in_bash(script: Path, folder: Path, *words: str) -> list[str]:
    """Returns what bash offers for the last of ``words``; `ostiary` itself is a double that names two resources."""
    double = folder / "bin" / "ostiary"
    double.parent.mkdir(exist_ok=True)
    double.write_text("#!/bin/sh\nprintf 'db.corp.internal\\nwiki\\n'\n")
    double.chmod(0o755)
    typed = " ".join(f"'{word}'" for word in words)
    ask = f'source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _ostiary; printf "%s\\n" "${{COMPREPLY[@]}}"'
    env = {"PATH": f"{double.parent}:/usr/bin:/bin"}
    done = subprocess.run((BASH, "--norc", "-c", ask), capture_output=True, text=True, check=True, timeout=30, env=env)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(not BASH, reason="bash is not installed")
def test_bash_completes_commands_options_and_resources(ostiary: CommandLine, tmp_path: Path) -> None:
    script = tmp_path / "ostiary.bash"
    script.write_text(ostiary("completion", "bash").out)
    assert complete_in_bash(script, tmp_path, "ostiary", "sta") == ["status"]
    assert complete_in_bash(script, tmp_path, "ostiary", "admin", "user", "cre") == ["create"]
    assert complete_in_bash(script, tmp_path, "ostiary", "up", "--ca") == ["--ca-pin"]
    assert complete_in_bash(script, tmp_path, "ostiary", "ping", "d") == ["db.corp.internal"]
    assert complete_in_bash(script, tmp_path, "ostiary", "status", "w") == []


@pytest.mark.skipif(ZSH is None, reason="zsh is not installed")
def test_zsh_takes_its_script(ostiary: CommandLine, tmp_path: Path) -> None:
    script = tmp_path / "_ostiary"
    script.write_text(ostiary("completion", "zsh").out)
    ask = f"autoload -U compinit; compinit -D -u; source {script}; print -r -- ${{_ostiary_words[ostiary admin user]}}"
    done = subprocess.run((str(ZSH), "-f", "-c", ask), capture_output=True, text=True, check=True, timeout=30)
    assert (done.stderr, "create" in done.stdout.split()) == ("", True)


@pytest.mark.skipif(FISH is None, reason="fish is not installed")
def test_fish_takes_its_script(ostiary: CommandLine, tmp_path: Path) -> None:
    script = tmp_path / "ostiary.fish"
    script.write_text(ostiary("completion", "fish").out)
    ask = f"source {script}; complete -C 'ostiary admin user cre'"
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run((str(FISH), "-N", "-c", ask), capture_output=True, text=True, check=True, timeout=30, env=env)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["create"]


def test_every_command_has_its_place_and_its_help(ostiary: CommandLine) -> None:
    places = {place.path: dict(place.words) for place in walk()}
    assert {"status", "ping", "admin"} <= places["ostiary"].keys()
    assert "--password-file" in places["ostiary admin user create"]
    assert all("--help" in words for words in places.values())
    assert ostiary("completion", "tcsh").code == 2


def test_names_for_completion_are_single_words(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["resources"] = {
        "resources": [
            {"name": "Payroll DB", "address": "db.corp.internal"},
            {"name": "wiki", "address": "*.wiki.internal"},
            {"name": "$(reboot)", "address": "10.0.0.0/8"},
        ]
    }
    assert ostiary("resources", "--names").out.splitlines() == ["db.corp.internal", "wiki"]
