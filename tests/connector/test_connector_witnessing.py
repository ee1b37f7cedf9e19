"""The witness on disk and in the daemon: kept before anybody acts, loud, never forgotten silently (T-70, F-26)."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from connector_lab import echo_server, port_of
from connector_world import CONNECTOR, DEVICE, ISSUER, NETWORK, NOW, World, acl, entry, res
from structlog.testing import capture_logs
from test_connector_daemon import Stage, staged, until
from tls_material import tls_material
from typer.testing import CliRunner

from connector import metrics
from connector.cli import app
from connector.identity import Identity, make_certificate, save_identity
from connector.status import describe
from connector.witnessing import ASIDE_SUFFIX, HEADS_FILE, WITNESS_FILE, Observer, export_witness
from protocol.control import Cutoff, Enforced, PushConfig, Revoke
from protocol.errors import LocalError, RemoteError
from protocol.ids import Epoch, Revision
from protocol.reasons import Reason
from protocol.tokens.claims import Checkpoint, Config
from protocol.tokens.issue import issue_checkpoint
from protocol.tokens.keys import SigningKey, VerificationKeys, generate_key, key_to_pem
from runtime.files import StateDir

GENESIS = "0" * 64


def hashed(position: int, branch: str = "a") -> str:
    """The hash of an event of one history of the log."""
    return f"{branch}{position:063d}"


def signed(world: World, position: int, previous: int = 0, *, branch: str = "a", at: int = NOW, epoch: int = 1) -> str:
    """A checkpoint's token."""
    before = hashed(previous, branch) if previous else GENESIS
    claims = Checkpoint(
        world.issuer,
        Epoch(epoch),
        Revision(position),
        hashed(position, branch),
        Revision(previous),
        before,
        at,
        at + 999,
    )
    return issue_checkpoint(claims, world.signing)


def config(world: World, revision: int, checkpoint: str = "", *, branch: str = "a", **fields: int) -> Config:
    """Verified claims of a config."""
    claims = world.config_claims(acl(entry("10.0.0.1")), revision=revision, **fields)  # type: ignore[arg-type]
    return replace(claims, log_head=hashed(revision, branch), checkpoint=checkpoint)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """An empty state directory."""
    made = StateDir(tmp_path / "state")
    made.ensure()
    return made


def test_t70_what_was_witnessed_survives_a_restart(state: StateDir) -> None:
    world = World()
    first = Observer(ISSUER, state)
    first.observe(config(world, 7, signed(world, 5)), world.keys, NOW)
    first.observe(config(world, 8, signed(world, 5)), world.keys, NOW + 1)
    again = Observer(ISSUER, state)
    assert [(item.position, item.hash, item.seen_at) for item in again.witness.checkpoints] == [(5, hashed(5), NOW)]
    assert [item.position for item in again.witness.heads] == [7, 8]
    with pytest.raises(RemoteError) as refused:
        again.observe(config(world, 8, branch="b"), world.keys, NOW + 2)
    assert refused.value.reason is Reason.LOG_CONFLICT
    third = Observer(ISSUER, state)
    assert [item.detail for item in third.witness.conflicts] == [refused.value.detail]


def test_t70_a_forged_checkpoint_is_refused_and_an_old_keys_is_not_judged(state: StateDir) -> None:
    world, other = World(), World(signing=SigningKey("key-1", generate_key()))
    observer = Observer(ISSUER, state)
    with pytest.raises(RemoteError) as refused:
        observer.observe(config(world, 7, signed(other, 5)), world.keys, NOW)
    assert refused.value.reason is Reason.TOKEN_SIGNATURE
    old = World(signing=SigningKey("key-0", generate_key()))
    with capture_logs() as logs:
        observer.observe(config(world, 7, signed(old, 5)), world.keys, NOW)
    assert [line["event"] for line in logs] == ["checkpoint.not_witnessed"]
    assert observer.witness.checkpoints == []
    assert [item.position for item in observer.witness.heads] == [7]


def test_a_known_checkpoint_is_not_verified_again(state: StateDir) -> None:
    world = World()
    observer = Observer(ISSUER, state)
    token = signed(world, 5)
    observer.observe(config(world, 7, token), world.keys, NOW)
    observer.observe(config(world, 8, token), VerificationKeys({}), NOW)
    assert [item.position for item in observer.witness.checkpoints] == [5]


def test_f26_a_new_epoch_is_told_and_the_old_notes_stay(state: StateDir) -> None:
    world = World()
    observer = Observer(ISSUER, state)
    observer.observe(config(world, 250, signed(world, 240)), world.keys, NOW)
    with capture_logs() as logs:
        observer.observe(config(world, 120, epoch=9, branch="b"), world.keys, NOW)
    (line,) = logs
    assert (line["event"], line["old_epoch"], line["epoch"], line["witnessed"]) == ("log.new_epoch", 1, 9, 250)
    assert [(item.epoch, item.position) for item in Observer(ISSUER, state).witness.heads] == [(1, 250), (9, 120)]


@pytest.mark.parametrize("name", [WITNESS_FILE, HEADS_FILE])
@pytest.mark.parametrize(
    "content", ["{", "[]", '{"issuer": "ctl_other"}', '{"issuer": "%s"}', '{"issuer": "%s", "heads": [1]}']
)
def test_t57_what_cannot_be_read_is_kept_aside_and_told(state: StateDir, name: str, content: str) -> None:
    text = content.replace("%s", ISSUER)
    state.write(name, text)
    with pytest.raises(LocalError) as failed:
        export_witness(state, CONNECTOR, ISSUER)
    assert failed.value.reason is Reason.STATE_CORRUPT
    assert state.exists(name)
    with capture_logs() as logs:
        observer = Observer(ISSUER, state)
    assert [line["event"] for line in logs] == ["witness.put_aside"]
    assert (state / (name + ASIDE_SUFFIX)).read_text() == text
    world = World()
    observer.observe(config(world, 7, signed(world, 5)), world.keys, NOW)
    assert state.exists(name)


def test_f11_a_full_disk_costs_the_notes_and_not_the_service(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    observer = Observer(ISSUER, state)

    def full(*_: object, **__: object) -> None:
        raise LocalError(Reason.LIMIT_EXCEEDED, "disk full")

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(StateDir, "write_json", full)
        observer.observe(config(world, 7, signed(world, 5)), world.keys, NOW)
    assert [line["event"] for line in logs] == ["state.not_written"]
    observer.observe(config(world, 8), world.keys, NOW)
    assert [item.position for item in Observer(ISSUER, state).witness.checkpoints] == [5]


def test_the_export_holds_everything_an_auditor_needs(state: StateDir, tmp_path: Path) -> None:
    world = World()
    key = generate_key()
    save_identity(
        state,
        Identity(
            CONNECTOR,
            NETWORK,
            ISSUER,
            "https://x",
            key,
            key_to_pem(key),
            make_certificate(key, NOW),
            tls_material().ca_pem,
            world.keys,
        ),
    )
    observer = Observer(ISSUER, state)
    token = signed(world, 5)
    observer.observe(config(world, 7, token), world.keys, NOW)
    observer.witness.note_cutoffs(1, 7, [Cutoff(DEVICE, res(1), NOW, "access_revoked")])
    with pytest.raises(RemoteError):
        observer.observe(config(world, 7, branch="b"), world.keys, NOW)
    target = tmp_path / "office.json"
    env = {"OSTIARY_STATE_DIR": str(state.path)}
    assert CliRunner().invoke(app, ["witness", "export", "--output", str(target)], env=env).exit_code == 0
    shown = CliRunner().invoke(app, ["witness", "export"], env=env)
    body = json.loads(target.read_text())
    assert json.loads(shown.stdout) == {"schema": 1, **body}
    assert (body["format"], body["connector"], body["issuer"]) == ("ostiary-witness/1", CONNECTOR, ISSUER)
    assert body["keys"] == world.keys.to_jwks()["keys"]
    assert [(item["position"], item["token"]) for item in body["checkpoints"]] == [(5, token)]
    assert [item["position"] for item in body["heads"]] == [7]
    assert "event 7" in body["conflicts"][0]["detail"]
    assert body["cutoffs"] == [
        {"epoch": 1, "revision": 7, "device": DEVICE, "resource": res(1), "before": NOW, "reason": "access_revoked"}
    ]
    assert target.stat().st_mode & 0o077 == 0


def told(stage: Stage, revision: int, branch: str, **fields: object) -> str:
    """A signed config of one history of the log."""
    claims = stage.world.config_claims(
        acl(entry("127.0.0.0/8", lease_s=30)),
        revision=revision,
        relays=(stage.relay.entry(),),
        egress_allow=("127.0.0.0/8",),
        issued_at=stage.now,
        **fields,  # type: ignore[arg-type]
    )
    return stage.world.config(replace(claims, log_head=hashed(revision, branch)))


async def test_t70_a_daemon_refuses_a_rewritten_log_goes_on_and_says_so(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, await echo_server() as server:
        await stage.enforce(told(stage, 7, "a"))
        tunnel = await stage.client()
        stream = stage.open(tunnel, port_of(server), 1, b"x")
        await stream.until_data(1)
        with capture_logs() as logs:
            await stage.controller.push(PushConfig(told(stage, 7, "b")))
            await until(lambda: stage.daemon.problem is not None)
        assert stage.daemon.problem is not None
        assert stage.daemon.problem.reason is Reason.LOG_CONFLICT
        assert [line["log_level"] for line in logs if line["event"] == "log.conflict"] == ["critical"]
        assert len(stage.controller.seen(Enforced)) == 1
        stream.stream.write(b"y")
        assert await stream.until_data(2) == b"xy"
        shown = describe(stage.daemon)
        assert (shown["witness"]["conflicts"], shown["witness"]["refused"]) == (1, 1)
        assert "event 7" in shown["witness"]["last_conflict"]
        counted = {metric.name: metric.samples for metric in metrics.collect(stage.daemon)}
        assert counted["ostiary_connector_log_conflicts_total"] == {(): 1}
        assert shown["problem"]["reason"] == "log_conflict"
        # What it takes away is taken away nevertheless: a contradiction never fails open.
        cutoff = Cutoff(DEVICE, res(1), stage.now + 1, "access_revoked")
        await stage.controller.push(PushConfig(told(stage, 7, "b", cutoffs=(cutoff,))))
        assert await stream.until_reset() is Reason.ACCESS_REVOKED
        # The restored log of a higher epoch is another one, and is taken.
        await stage.enforce(told(stage, 5, "b", epoch=2))
        assert stage.daemon.problem is None
        assert describe(stage.daemon)["witness"]["newest"]["epoch"] == 2
        assert describe(stage.daemon)["witness"]["conflicts"] == 1


async def test_f26_revocations_that_were_pushed_are_remembered(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.enforce(told(stage, 7, "a"))
        cutoff = Cutoff(DEVICE, None, stage.now, "device_revoked")
        await stage.controller.push(Revoke(Revision(8), (cutoff,)))
        await stage.enforce(told(stage, 8, "a", cutoffs=(cutoff,)))
    body = export_witness(stage.state, stage.world.connector, stage.world.issuer)
    assert [(item["device"], item["revision"], item["epoch"]) for item in body["cutoffs"]] == [(DEVICE, 8, 1)]
