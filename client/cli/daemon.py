"""`ostiaryd`: the client daemon's command line."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.command_line import (
    JsonOption,
    LogFormatOption,
    LogLevelOption,
    RuntimeOption,
    StateOption,
    command_group,
    config_option,
    version_option,
)
from runtime.console import FAILED, exit_on_error, print_json, print_lines, print_settings, print_version, warn

app = command_group("The Ostiary client daemon. `ostiaryd` alone runs it.", name="ostiaryd", without_verb=True)


class _Options:
    """What the options before the subcommand said."""

    config: Path | None = None
    overrides: dict[str, object] = {}  # noqa: RUF012 - filled once per process by the callback


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    config: Annotated[Path | None, config_option("client")] = None,
    mode: Annotated[str | None, typer.Option(metavar="MODE", help="tun (default) or proxy.")] = None,
    proxy_listen: Annotated[
        str | None, typer.Option(metavar="ADDRESS:PORT", help="Where the proxy mode listens.")
    ] = None,
    state_dir: StateOption = None,
    runtime_dir: RuntimeOption = None,
    log_level: LogLevelOption = None,
    log_json: LogFormatOption = None,
    show_version: Annotated[bool, version_option("ostiaryd")] = False,
) -> None:
    """Runs the daemon unless a subcommand says something else."""
    _Options.config = config
    _Options.overrides = {
        "mode": mode,
        "proxy_listen": proxy_listen,
        "state_dir": state_dir,
        "runtime_dir": runtime_dir,
        "log_level": log_level,
        "log_json": log_json,
    }
    if context.invoked_subcommand is None:
        run()


@app.command()
def run() -> None:
    """Run the daemon until SIGTERM.

    \b
    Example:
      sudo ostiaryd --log-level debug run
    """
    import runtime.lean_structlog  # noqa: F401
    from client.daemon.app import Daemon
    from client.daemon.log_buffer import LogBuffer
    from client.daemon.settings import COMPONENT, load_settings
    from runtime import lifecycle, logging, upstream_proxy
    from runtime.descriptors import raise_limit

    with exit_on_error():
        settings = load_settings(config_file=_Options.config, overrides=_Options.overrides)
        upstream_proxy.use(upstream_proxy.choose(settings.upstream_proxy, settings.upstream_proxy_login_file))
    raise_limit()
    logging.configure(COMPONENT, settings.log_level, settings.log_json)
    logs = LogBuffer()
    logs.install()
    raise typer.Exit(lifecycle.run(Daemon(settings, logs).run))


@app.command()
def cleanup(
    everything: Annotated[
        bool, typer.Option("--all", help="Open what strict DNS keeps closed while no daemon runs, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take back what a killed daemon has left on this host: routing rules and resolver settings.

    It works without the daemon, and refuses while the daemon lives, which takes everything back when it ends. What
    somebody else has changed meanwhile stays. systemd runs this after each end of the service, and once at boot.

    \b
    Exit codes: 0 all is as it was found, 1 something is left or the daemon lives.
    Example:
      sudo ostiaryd cleanup
    """
    from client.host.cleanup import clean_up_dead, describe
    from runtime.files import StateDir

    undone: list[str] = []
    left: list[str] = []
    with exit_on_error(as_json=as_json):
        state_dir = _state_to_clean()
        if state_dir.exists():
            cleaned = clean_up_dead(StateDir(state_dir))
            undone = [describe(change) for change in cleaned.undone]
            left = [describe(change) for change in cleaned.left]
            if everything:
                from client.host.strict_journal import release

                opened, closed = release(state_dir)
                undone += [describe(change) for change in opened]
                left += [describe(change) for change in closed]
    if as_json:
        print_json({"ok": not left, "taken_back": undone, "left": left})
    elif undone or left:
        print_lines(*(f"taken back: {each}" for each in undone), *(f"still there: {each}" for each in left))
    else:
        print_lines("nothing to clean up")
    if left:
        raise typer.Exit(FAILED)


def _state_to_clean() -> Path:
    """Wrong settings, which may be why the daemon ended, keep nobody from giving the host its own back (F-14)."""
    from client.daemon.settings import COMPONENT, ClientSettings, load_settings, state_directory
    from runtime import logging

    try:
        settings = load_settings(config_file=_Options.config, overrides=_Options.overrides)
    except LocalError as error:
        if error.reason is not Reason.CONFIG_INVALID:
            raise
        settings = ClientSettings(state_dir=state_directory(config_file=_Options.config, overrides=_Options.overrides))
        warn(f"{error}; cleaning up what {settings.state_dir} says")
    logging.configure(COMPONENT, settings.log_level, settings.log_json)
    return settings.state_dir


@app.command("check-config")
def check_config(as_json: JsonOption = False) -> None:
    """Show every setting with its origin, and say what is wrong with them.

    \b
    Example:
      OSTIARY_MODE=proxy ostiaryd check-config
    """
    from client.daemon.settings import load_settings
    from runtime import upstream_proxy
    from runtime.settings import describe

    with exit_on_error(as_json=as_json):
        settings = load_settings(config_file=_Options.config, overrides=_Options.overrides)
        upstream_proxy.choose(settings.upstream_proxy, settings.upstream_proxy_login_file)
        rows = describe(settings)
        print_settings(rows, as_json=as_json)


@app.command()
def version(as_json: JsonOption = False) -> None:
    """Print the version of the software and of the protocol."""
    print_version("ostiaryd", as_json=as_json)


def main() -> None:
    """Entry point."""
    app(prog_name=Path(sys.argv[0]).name)
