"""The device's private key: made here, never leaves the host, readable by its owner only (C6, T-57)."""

import os
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from protocol.errors import LocalError
from protocol.reasons import Reason
from protocol.tokens.keys import generate_key, key_from_pem, key_to_pem
from runtime.files import os_error, read_limited, write_atomic

KEY_FILE: Final = "device.pem"
_LIMIT: Final = 16 * 1024


def load_key(directory: Path) -> ec.EllipticCurvePrivateKey | None:
    """Returns the device's key; None when there is none yet.

    Raises:
        LocalError: PERMISSION_DENIED when others may read or change it, STATE_CORRUPT when it is no P-256 key.
    """
    path = directory / KEY_FILE
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise os_error(exc, path) from exc
    if not stat.S_ISREG(status.st_mode):
        raise LocalError(Reason.STATE_CORRUPT, f"{path} is not a regular file")
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        detail = f"{path} belongs to uid {status.st_uid} with mode {mode:o}; it has to be uid {os.geteuid()} and 600"
        raise LocalError(Reason.PERMISSION_DENIED, detail)
    try:
        return key_from_pem(read_limited(path, _LIMIT))
    except LocalError:
        raise
    except ValueError as exc:
        raise LocalError(Reason.STATE_CORRUPT, f"{path} holds no P-256 key") from exc


def load_or_create_key(directory: Path) -> ec.EllipticCurvePrivateKey:
    """Returns the device's key and makes it first if there is none. Raises LocalError as ``load_key`` does."""
    key = load_key(directory)
    if key is None:
        key = generate_key()
        write_atomic(directory / KEY_FILE, key_to_pem(key))
    return key


def remove_key(directory: Path) -> None:
    """Forgets the device's key: it is a new device from here on (T-56)."""
    path = directory / KEY_FILE
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise os_error(exc, path) from exc
