"""`events verify|export|replay` as an auditor meets them (T-9, T-70)."""

import json
from pathlib import Path

import pytest
from test_controller_cli import Cli, cli

__all__ = ["cli"]


def exported(cli: Cli) -> Path:
    """An export of a fresh controller."""
    cli.init()
    target = cli.folder / "events.jsonl"
    assert cli("events", "export", "--output", str(target)).code == 0
    return target


def test_an_export_is_verified_without_the_database(cli: Cli) -> None:
    target = exported(cli)
    (cli.folder / "state" / "controller.db").unlink()
    whole = cli("events", "verify", "--export", str(target), "--json")
    assert (whole.code, whole.json["ok"], whole.json["faults"]) == (0, True, [])
    lines = target.read_text().splitlines()
    target.write_text("\n".join([*lines[:3], *lines[4:]]) + "\n")
    broken = cli("events", "verify", "--export", str(target))
    assert (broken.code, "event 3: missing" in broken.out) == (1, True)
    assert "tampered" in broken.out


def test_a_witness_and_kept_keys_are_compared(cli: Cli) -> None:
    target = exported(cli)
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    first = next(line for line in lines if line["kind"] == "event")
    keys = [
        {**line["jwk"], "kid": line["kid"], "alg": "ES256", "use": "sig"} for line in lines if line["kind"] == "key"
    ]
    note = {"epoch": 1, "position": 1, "hash": first["hash"], "issued_at": 1, "seen_at": 1, "token": ""}
    witness = {
        "format": "ostiary-witness/1",
        "issuer": json.loads(first["data"])["issuer"],
        "keys": [],
        "checkpoints": [],
        "heads": [note],
        "conflicts": [],
    }
    notes, kept = cli.folder / "office.json", cli.folder / "jwks.json"
    notes.write_text(json.dumps(witness))
    kept.write_text(json.dumps({"keys": keys}))
    arguments = ("events", "verify", "--witness", str(notes), "--keys", str(kept), "--json")
    whole = cli(*arguments)
    assert (whole.code, whole.json["witnessed"], whole.json["notes"]) == (0, 1, [])
    notes.write_text(json.dumps({**witness, "heads": [{**note, "hash": "0" * 64}]}))
    other = cli(*arguments)
    assert (other.code, other.json["faults"][0]["position"], other.json["faults"][0]["kind"]) == (1, 1, "changed")
    assert "office.json has witnessed another hash" in other.json["faults"][0]["detail"]


def test_personal_data_is_exported_beside_the_log_only(cli: Cli) -> None:
    cli.init()
    target, people = cli.folder / "events.jsonl", cli.folder / "people.jsonl"
    assert cli("events", "export", "--output", str(target), "--personal-data", str(people)).code == 0
    assert "ada@corp.example" not in target.read_text()
    (person,) = (json.loads(line) for line in people.read_text().splitlines())
    assert (person["email"], person["fields"]["name"]) == ("ada@corp.example", "Ada")
    assert people.stat().st_mode & 0o077 == 0
    assert cli("events", "export", "--output", str(target), "--personal-data", str(target)).code == 2


def test_an_export_is_folded_into_the_policy_of_any_moment(cli: Cli) -> None:
    target = exported(cli)
    whole = cli("events", "replay", str(target), "--json").json
    assert whole["counts"]["users"] == 1
    assert whole["counts"]["signing_keys"] == 2
    early = cli("events", "replay", str(target), "--at", "1", "--json").json
    assert (early["position"], early["counts"]["users"], early["issuer"]) == (1, 0, whole["issuer"])
    assert early["digest"] != whole["digest"] == cli("events", "replay", str(target), "--json").json["digest"]
    assert whole["digest"] in cli("events", "replay", str(target)).out
    beyond = cli("events", "replay", str(target), "--at", "999")
    assert (beyond.code, "ends at event" in beyond.err) == (1, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[:-1], "cut off"),
        (lambda lines: [*lines[:3], *lines[4:]], "event 3: missing"),
        (lambda lines: [lines[0], lines[1].replace("cli", "me"), *lines[2:]], "event 1: content does not match"),
        (lambda lines: [*lines[:2], "rubbish"], "line 3 is not JSON"),
        (lambda lines: [*lines[:2], "[]"], "line 3 is not an object"),
        (lambda lines: [*lines[:2], '{"kind": "event"}'], "lacks"),
    ],
)
def test_a_damaged_export_is_not_folded(cli: Cli, change, words: str) -> None:  # type: ignore[no-untyped-def]
    target = exported(cli)
    target.write_text("\n".join(change(target.read_text().splitlines())) + "\n")
    refused = cli("events", "replay", str(target))
    assert (refused.code, words in refused.err, refused.out) == (1, True, "")


@pytest.mark.parametrize("option", ["--witness", "--keys", "--export"])
def test_a_file_that_is_none_is_named(cli: Cli, option: str) -> None:
    cli.init()
    bad = cli.folder / "bad.json"
    for content in ("{", "[1]"):
        bad.write_text(content)
        refused = cli("events", "verify", option, str(bad))
        assert (refused.code, "bad.json" in refused.err) == (1 if option == "--export" else 2, True)
    gone = cli("events", "verify", option, str(cli.folder / "gone.json"))
    assert (gone.code, "gone.json" in gone.err) == (1, True)
