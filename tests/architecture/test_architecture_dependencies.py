"""Nothing is installed that was not locked by version and hash (T-73)."""

import re
import tomllib

from sources import ROOT

_ENTRY = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==(?P<version>[0-9][^\s;]*)(?: *;[^\\]*)?")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def entries() -> list[str]:
    """Returns the entries of the lock file, each joined to one line."""
    joined = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def locked() -> set[str]:
    return {match["name"].replace("_", "-").lower() for entry in entries() if (match := _ENTRY.match(entry))}


def declared() -> set[str]:
    """Returns what pyproject.toml asks for, extras and the build backend included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        project["build-system"]["requires"],
    ]
    names = (_NAME.match(text) for group in groups for text in group)
    return {match[0].replace("_", "-").lower() for match in names if match}


def test_t73_every_entry_has_one_version_and_its_hashes() -> None:
    assert len(entries()) > 40
    for entry in entries():
        assert _ENTRY.match(entry), f"requirements.lock: {entry[:80]} is no exact version from the index"
        rest = entry.split()[1:]
        assert any(_HASH.fullmatch(word) for word in rest), f"requirements.lock: {entry[:80]} has no hash"
        assert not [word for word in rest if word.startswith("--") and not _HASH.fullmatch(word)], entry[:80]


def test_t73_every_dependency_is_locked() -> None:
    assert declared() - locked() == set(), "run `make lock`"


def test_t73_installing_demands_the_hashes() -> None:
    installs = [line for line in (ROOT / "Makefile").read_text().splitlines() if "requirements.lock" in line]
    assert all("--require-hashes" in line for line in installs if " install " in line)
    assert any("--require-hashes" in line for line in installs)
