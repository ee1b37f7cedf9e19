"""`serve`: one process that serves, or a parent with several workers. Loads nothing that a parent does not need."""

import gc
import logging as stdlib_logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from controller.cli.options import load_settings
from controller.settings import COMPONENT, Settings
from runtime import lean_structlog, lifecycle, logging  # noqa: F401 - the first is imported for what it does
from runtime.console import exit_on_error


@dataclass(frozen=True, slots=True)
class Flags:
    """The command line of `serve`; None is "not given"."""

    config: Path | None = None
    listen_host: str | None = None
    listen_port: int | None = None
    workers: int | None = None

    def words(self) -> list[str]:
        """Returns what ``flags_of`` reads. No flag holds a secret."""
        given = {name: getattr(self, name) for name in self.__slots__}
        return [f"{name}={value}" for name, value in given.items() if value is not None]


def flags_of(words: Sequence[str]) -> Flags:
    """Returns the flags that ``Flags.words`` wrote."""
    given: Mapping[str, str] = dict(word.split("=", 1) for word in words)
    return Flags(
        config=Path(given["config"]) if "config" in given else None,
        listen_host=given.get("listen_host"),
        listen_port=int(given["listen_port"]) if "listen_port" in given else None,
        workers=int(given["workers"]) if "workers" in given else None,
    )


def settings_of(flags: Flags) -> Settings:
    """Returns the settings that the flags, the environment and the file give. Raises LocalError(CONFIG_INVALID)."""
    overrides = {"listen_host": flags.listen_host, "listen_port": flags.listen_port, "workers": flags.workers}
    return load_settings(flags.config, overrides)


def configure_logging(settings: Settings) -> None:
    """Sets up the logs of a process that serves or whose children do."""
    logging.configure(COMPONENT, settings.log_level, settings.log_json)
    for chatty in ("uvicorn.error", "alembic"):
        stdlib_logging.getLogger(chatty).setLevel(stdlib_logging.WARNING)


def serve(flags: Flags) -> int:
    """Runs the controller; returns the exit code."""
    with exit_on_error():
        settings = settings_of(flags)
    configure_logging(settings)
    if settings.workers > 1:
        from controller.cli import workers

        return lifecycle.run(partial(workers.supervise, settings, flags.words()))
    return lifecycle.run(partial(load_server().run, settings))


def load_server() -> ModuleType:
    """Returns ``controller.cli.serve``, which loads everything."""
    # Imports make hundreds of thousands of objects that stay, and the collector would walk over them again and again;
    # ``lifecycle`` freezes them and says how often it is to look from then on.
    gc.disable()
    from controller.cli import serve as server

    gc.enable()
    return server
