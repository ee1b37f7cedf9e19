"""`ostiary admin apply|export` and `access` against the real controller over TLS."""

import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from live_controller import OWNER

from client.cli import admin_plans
from client.cli.admin_access import past_moment
from client.cli.admin_session import ProblemError
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.console import CHANGES_PENDING


class Document:
    """A document of names that nobody else uses: the controller is shared by the tests of this run."""

    def __init__(self, folder: Path) -> None:
        self.word = uuid.uuid4().hex[:8]
        self.path = folder / "policy.yaml"
        self.write(
            f"networks: [{{name: net-{self.word}}}]\n"
            f"resources:\n  - {{name: res-{self.word}, network: net-{self.word}, address: {self.word}.internal}}\n"
            f"groups: [{{name: grp-{self.word}, members: [{OWNER}]}}]\n"
            f"grants: [{{to: 'group:grp-{self.word}', resource: res-{self.word}}}]\n"
        )

    def write(self, text: str) -> None:
        self.path.write_text(text)


@pytest.fixture
def document(tmp_path: Path) -> Document:
    return Document(tmp_path)


def test_a_dry_run_says_by_its_exit_code_that_changes_are_pending(admin: CommandLine, document: Document) -> None:
    ran = admin("admin", "apply", "-f", str(document.path), "--dry-run")
    assert ran.code == CHANGES_PENDING == 9
    assert f"create  network  net-{document.word}" in " ".join(ran.out.split("\n")).replace("   ", "  ")
    assert "(any)" in ran.out
    assert admin("admin", "network", "list", "--json").json["items"] == [
        item
        for item in admin("admin", "network", "list", "--json").json["items"]
        if item["name"] != f"net-{document.word}"
    ]


def test_applying_asks_and_does_it_once(admin: CommandLine, document: Document) -> None:
    arguments = ("admin", "apply", "-f", str(document.path))
    refused = admin(*arguments)
    assert (refused.code, "Add --yes" in refused.err) == (2, True)
    done = admin(*arguments, "--yes")
    assert done.code == 0
    assert "applied as revision" in done.out
    again = admin(*arguments, "--dry-run")
    assert (again.code, again.out) == (0, "Nothing to change: the policy is as the document says.\n")


def test_json_is_the_plan(admin: CommandLine, document: Document) -> None:
    planned = admin("admin", "apply", "-f", str(document.path), "--dry-run", "--json")
    assert (planned.code, planned.json["schema"], planned.json["applicable"]) == (9, 1, True)
    applied = admin("admin", "apply", "--plan", planned.json["hash"], "--yes", "--json")
    assert (applied.code, applied.json["hash"]) == (0, planned.json["hash"])
    assert applied.json["applied_revision"] > planned.json["revision"]


def test_mistakes_name_their_line(admin: CommandLine, document: Document) -> None:
    document.write("networks:\n  - nam: x\n")
    ran = admin("admin", "apply", "-f", str(document.path))
    assert (ran.code, "line 2: a network needs 'name'" in ran.err) == (2, True)
    document.write("expect: [nobody@corp.example can reach nothing]\nnetworks: [{name: x}]\n")
    ran = admin("admin", "apply", "-f", str(document.path), "--dry-run")
    assert ran.code == 1
    assert "Tests that would fail" in ran.out
    assert "line 1" in ran.err
    assert admin("admin", "apply", "-f", "/nonexistent").code == 2
    assert admin("admin", "apply").code == 2


def test_an_export_applies_to_nothing(admin: CommandLine, document: Document, tmp_path: Path) -> None:
    assert admin("admin", "apply", "-f", str(document.path), "--yes").code == 0
    exported = tmp_path / "exported.yaml"
    assert admin("admin", "export", "-f", str(exported)).code == 0
    assert admin("admin", "export").out == exported.read_text()
    ran = admin("admin", "apply", "-f", str(exported), "--prune", "--dry-run", "--json")
    assert (ran.code, ran.json["changes"]) == (0, [])


class _Moving:
    """An API whose log moves before the first application; ``plans`` are what it makes one after another."""

    def __init__(self, *plans: dict[str, Any]) -> None:
        self.plans = list(plans)
        self.applied: list[str] = []

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        if path == "plans":
            return self.plans.pop(0)
        self.applied.append(path)
        if len(self.applied) == 1:
            raise ProblemError(
                Reason.CONFLICT, "the log moved", code="conflict", title="", next_step="", field_name="", status=409
            )
        return {"applied_revision": 7}


def _made(name: str, digest: str) -> dict[str, Any]:
    return {"hash": digest, "prune": False, "applicable": True, "changes": [{"action": "create", "name": name}]}


def test_somebody_elses_sign_in_in_between_does_not_matter() -> None:
    api = _Moving(_made("a", "new"))
    assert admin_plans._apply(api, _made("a", "old"), "document")["applied_revision"] == 7  # type: ignore[arg-type]
    assert api.applied == ["plans/old/apply", "plans/new/apply"]


def test_another_difference_than_the_approved_one_is_not_applied() -> None:
    api = _Moving(_made("b", "new"))
    with pytest.raises(LocalError) as refused:
        admin_plans._apply(api, _made("a", "old"), "document")  # type: ignore[arg-type]
    assert refused.value.reason is Reason.CONFLICT
    assert api.applied == ["plans/old/apply"]


def test_access_is_explained_by_name(admin: CommandLine, document: Document) -> None:
    assert admin("admin", "apply", "-f", str(document.path), "--yes").code == 0
    ran = admin("admin", "access", "explain", "--resource", f"res-{document.word}")
    assert (ran.code, ran.out) == (0, "")
    assert "Nobody could." in ran.err
    ran = admin("admin", "access", "explain", "--user", OWNER, "--at", "1h", "--json")
    assert (ran.code, ran.json["items"]) == (0, [])
    ran = admin("admin", "access", "history", "--user", OWNER, "--resource", f"res-{document.word}", "--json")
    assert (ran.code, ran.json["complete"], ran.json["items"]) == (0, True, [])
    assert admin("admin", "access", "explain").code == 2


def test_moments_of_the_past() -> None:
    now = time.time()
    assert past_moment("--at", "1970-01-01T00:00:00+00:00", now).startswith("19")
    assert past_moment("--at", "2h", 7200.0) == "1970-01-01T00:00:00+00:00"
    with pytest.raises(LocalError, match="--at"):
        past_moment("--at", "yesterday", now)
