"""Encrypts what must rest in the database but never be readable there: private keys, remembered answers with secrets.

AES-256-GCM under a key derived (HKDF-SHA256) from the master secret, a file of the state directory that is not in the
database and so not in its backups. The name under which a value is stored is authenticated with it: a sealed value that
was moved to another row does not open.
"""

import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import os_error

MASTER_SECRET_BYTES: Final = 32
NONCE_BYTES: Final = 12
MASTER_SECRET_FILE: Final = "master.secret"  # noqa: S105 - a file name
_VERSION: Final = b"\x01"


class Seal:
    """Seals and opens values. One instance per process."""

    def __init__(self, master_secret: bytes) -> None:
        if len(master_secret) != MASTER_SECRET_BYTES:
            raise LocalError(Reason.STATE_CORRUPT, f"the master secret is not {MASTER_SECRET_BYTES} bytes long")
        key = HKDF(hashes.SHA256(), 32, salt=None, info=b"ostiary controller seal v1").derive(master_secret)
        self._aead = AESGCM(key)

    def seal(self, name: str, plaintext: bytes) -> bytes:
        """Returns ``plaintext`` encrypted for the place ``name``."""
        nonce = os.urandom(NONCE_BYTES)
        return _VERSION + nonce + self._aead.encrypt(nonce, plaintext, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Returns the plaintext. Raises LocalError(STATE_CORRUPT) for another secret, another name or damage."""
        if sealed[:1] != _VERSION:
            raise LocalError(Reason.STATE_CORRUPT, f"the sealed value {name!r} has an unknown form")
        nonce, ciphertext = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, ciphertext, name.encode())
        except (InvalidTag, ValueError) as exc:
            detail = f"{name!r} in the database was not sealed with this {MASTER_SECRET_FILE}"
            raise LocalError(Reason.STATE_CORRUPT, detail) from exc


def create_master_secret(state_dir: Path) -> bool:
    """Makes the master secret file (0600) unless it is there. Tells whether it made one. Raises LocalError."""
    path = state_dir / MASTER_SECRET_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    except OSError as exc:
        raise os_error(exc, path) from exc
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(MASTER_SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
    return True


def load_seal(state_dir: Path) -> Seal:
    """Reads the master secret. Raises LocalError when it is missing, readable by others, or damaged."""
    path = state_dir / MASTER_SECRET_FILE
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read(MASTER_SECRET_BYTES + 1)
    except FileNotFoundError as exc:
        raise LocalError(Reason.NOT_SET_UP, f"{path} is missing") from exc
    except PermissionError as exc:
        raise LocalError(Reason.PERMISSION_DENIED, f"{path} cannot be read by this user") from exc
    if mode & 0o077:
        raise LocalError(Reason.CONFIG_INVALID, f"{path} can be read by others; run `chmod 600 {path}`")
    return Seal(secret)
