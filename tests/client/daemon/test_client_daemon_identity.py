"""Files of the daemon: private, whole, and gone when another controller is chosen."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from tls_material import tls_material

from client.core.snapshot_store import NOTHING_SEEN, Watermark
from client.daemon.identity import CONTROLLER_FILE, IDENTITY_FILE, WATERMARK_FILE, Controller, Identity, IdentityStore
from client.daemon.ownership import Ownership
from protocol.errors import LocalError
from protocol.ids import DeviceId, Epoch, Revision, SessionId
from protocol.reasons import Reason
from protocol.tokens.keys import SigningKey, VerificationKeys, generate_key
from runtime.files import StateDir

MATERIAL = tls_material()
CONTROLLER = Controller("https://controller.example", MATERIAL.ca_pin, MATERIAL.ca_pem)
IDENTITY = Identity(
    "ctl_x",
    DeviceId("dev_x"),
    "usr_x",
    False,
    SessionId("ses_x"),
    1_800_000_000,
    VerificationKeys.of(SigningKey("k", generate_key())),
    "Grace",
)


@pytest.fixture
def store(tmp_path: Path) -> IdentityStore:
    state = StateDir(tmp_path / "state")
    state.ensure()
    return IdentityStore(state)


def test_what_is_stored_comes_back(store: IdentityStore) -> None:
    assert store.controller() is None
    assert store.identity() is None
    assert store.watermark() == NOTHING_SEEN
    assert store.snapshot() is None
    store.store_controller(CONTROLLER)
    store.store_identity(IDENTITY)
    store.store_watermark(Watermark(Epoch(2), Revision(9)))
    store.store_snapshot("a.b.c")
    assert store.controller() == CONTROLLER
    loaded = store.identity()
    assert loaded is not None
    assert replace(loaded, keys=IDENTITY.keys) == IDENTITY
    assert loaded.keys.to_jwks() == IDENTITY.keys.to_jwks()
    assert store.watermark() == Watermark(Epoch(2), Revision(9))
    assert store.snapshot() == "a.b.c"


def test_t57_nobody_else_can_read_the_files(store: IdentityStore) -> None:
    store.store_controller(CONTROLLER)
    store.store_identity(IDENTITY)
    store.store_watermark(Watermark(Epoch(1), Revision(1)))
    store.store_snapshot("a.b.c")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.state.path.iterdir()}
    assert len(modes) == 5
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(store.state.path.stat().st_mode) == 0o700


def test_signing_out_keeps_device_controller_and_watermark(store: IdentityStore) -> None:
    store.store_controller(CONTROLLER)
    store.store_identity(IDENTITY)
    store.store_watermark(Watermark(Epoch(1), Revision(5)))
    store.store_snapshot("a.b.c")
    store.sign_out()
    left = store.identity()
    assert left is not None
    assert (left.signed_in, left.session, left.device) == (False, "", "dev_x")
    assert store.snapshot() is None
    assert store.watermark().revision == 5
    assert store.controller() == CONTROLLER


def test_t56_wiping_leaves_nothing(store: IdentityStore) -> None:
    store.store_controller(CONTROLLER)
    store.store_identity(IDENTITY)
    store.store_watermark(Watermark(Epoch(1), Revision(5)))
    store.store_snapshot("a.b.c")
    Ownership(store.state).take(1000)
    store.wipe()
    assert list(store.state.path.iterdir()) == []


@pytest.mark.parametrize("name", [CONTROLLER_FILE, IDENTITY_FILE, WATERMARK_FILE])
@pytest.mark.parametrize("content", ["{", "[]", '{"url": 5}', '{"epoch": "1"}'])
def test_a_damaged_file_is_named(store: IdentityStore, name: str, content: str) -> None:
    store.state.write(name, content)
    with pytest.raises(LocalError) as caught:
        {CONTROLLER_FILE: store.controller, IDENTITY_FILE: store.identity, WATERMARK_FILE: store.watermark}[name]()
    assert caught.value.reason is Reason.STATE_CORRUPT
    assert name in caught.value.detail


def test_a_pinned_controller_without_its_ca_is_not_trusted_by_the_systems_roots(store: IdentityStore) -> None:
    store.store_controller(CONTROLLER)
    store.state.remove("ca.pem")
    with pytest.raises(LocalError) as caught:
        store.controller()
    assert caught.value.reason is Reason.STATE_CORRUPT


def test_a_pinned_controllers_ca_is_all_that_is_trusted() -> None:
    assert len(CONTROLLER.context().get_ca_certs()) == 1
    assert len(CONTROLLER.relay_context().get_ca_certs()) == 1
    public = Controller("https://controller.example", None, MATERIAL.ca_pem)
    assert all(
        dict(pair[0] for pair in ca["subject"]).get("commonName") != "Test CA"  # type: ignore[misc]
        for ca in public.context().get_ca_certs()
    )
