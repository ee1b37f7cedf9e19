"""How programs and pipelines sign in: an API token from the environment instead of `ostiary admin login`.

``OSTIARY_ADMIN_TOKEN_FILE`` (or ``OSTIARY_ADMIN_TOKEN``), ``OSTIARY_ADMIN_URL`` and, for a controller with its own CA,
``OSTIARY_ADMIN_CA_FILE``. Never a flag: everybody on the host can read a command line (T-11).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime import settings as loader
from runtime.files import read_limited

COMPONENT: Final = "admin"
_PREFIX: Final = loader.ENV_PREFIX + "ADMIN_"
_CA_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """What the environment says."""

    admin_url: str | None = field(default=None, metadata={"help": "The controller; default: as at the last sign-in."})
    admin_token: str | None = field(default=None, metadata={"help": "An API token.", "secret": True})
    admin_ca_file: Path | None = field(default=None, metadata={"help": "The controller's CA certificate in PEM."})


def from_environment(environment: Mapping[str, str]) -> AdminSettings | None:
    """Returns the settings when the environment names an API token; otherwise None.

    Raises:
        LocalError: CONFIG_INVALID for a variable that is misspelt, doubled, or not a token.
    """
    own = {name: value for name, value in environment.items() if name.startswith(_PREFIX)}
    if not own:
        return None
    if {f"{_PREFIX}TOKEN", f"{_PREFIX}TOKEN_FILE"} <= own.keys():
        raise LocalError(Reason.CONFIG_INVALID, f"give either {_PREFIX}TOKEN or {_PREFIX}TOKEN_FILE")
    settings = loader.load(AdminSettings, component=COMPONENT, env=own)
    if settings.admin_token is None:
        return None
    if not settings.admin_token.startswith("ost_api_") or not settings.admin_token.isascii():
        raise LocalError(Reason.CONFIG_INVALID, f"{_PREFIX}TOKEN: an API token begins with ost_api_")
    return settings


def read_ca(path: Path) -> str:
    """Returns the certificate in the file. Raises LocalError: what the file system says, CONFIG_INVALID."""
    text = read_limited(path, _CA_MAX_BYTES).decode("ascii", "replace")
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise LocalError(Reason.CONFIG_INVALID, f"{_PREFIX}CA_FILE: {path} holds no certificate in PEM")
    return text
