"""What several commands share: settings, passwords from files, short-lived access to the store."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from controller.settings import COMPONENT, Settings
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime import settings as settings_loader
from runtime.files import read_limited

ACTOR: Final = "cli"
"""Who acts in the audit trail: somebody with a shell on the controller's host."""
_PASSWORD_FILE_MAX: Final = 4096


def load_settings(config: Path | None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Reads the settings. Raises LocalError(CONFIG_INVALID)."""
    return settings_loader.load(Settings, component=COMPONENT, config_file=config, overrides=overrides)


def read_password(source: str) -> str:
    """Reads a password from a file, or from standard input for ``-``; one trailing line break is dropped."""
    if source == "-":
        text = sys.stdin.read(_PASSWORD_FILE_MAX)
    else:
        try:
            text = read_limited(Path(source), _PASSWORD_FILE_MAX).decode()
        except UnicodeDecodeError as exc:
            raise LocalError(Reason.INVALID_INPUT, f"{source} is not UTF-8 text") from exc
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise LocalError(Reason.INVALID_INPUT, "the password is empty")
    return password
