"""What several commands share: settings, and in whose name they act."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from controller.settings import COMPONENT, Settings
from runtime import settings as settings_loader

ACTOR: Final = "cli"
"""Who acts in the audit trail: somebody with a shell on the controller's host."""


def load_settings(config: Path | None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Reads the settings. Raises LocalError(CONFIG_INVALID)."""
    return settings_loader.load(Settings, component=COMPONENT, config_file=config, overrides=overrides)
