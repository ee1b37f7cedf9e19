"""`ostiaryd`: the client daemon's command line."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from protocol.version import SOFTWARE
from runtime.console import FAILED, exit_on_error, print_json, print_lines, print_table

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    help="The Ostiary client daemon. `ostiaryd` alone runs it.",
)


class _Options:
    """What the options before the subcommand said."""

    config: Path | None = None
    overrides: dict[str, object] = {}  # noqa: RUF012 - filled once per process by the callback


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="Configuration file (TOML).")] = None,
    mode: Annotated[str | None, typer.Option(help="tun (default) or proxy.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    proxy_listen: Annotated[str | None, typer.Option(help="ADDRESS:PORT of the proxy mode.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Where identity and policy are kept.")] = None,
    runtime_dir: Annotated[Path | None, typer.Option(help="Where the control socket is.")] = None,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Runs the daemon unless a subcommand says something else."""
    if show_version:
        version()
        raise typer.Exit
    _Options.config = config
    _Options.overrides = {
        "mode": mode,
        "log_level": log_level,
        "proxy_listen": proxy_listen,
        "state_dir": state_dir,
        "runtime_dir": runtime_dir,
    }
    if context.invoked_subcommand is None:
        run()


@app.command()
def run() -> None:
    """Runs the daemon until SIGTERM.

    Example: `sudo ostiaryd --log-level debug run`
    """
    from client.daemon.app import Daemon
    from client.daemon.log_buffer import LogBuffer
    from client.daemon.settings import COMPONENT, load_settings
    from runtime import lifecycle, logging

    with exit_on_error():
        settings = load_settings(config_file=_Options.config, overrides=_Options.overrides)
    logging.configure(COMPONENT, settings.log_level, settings.log_json)
    logs = LogBuffer()
    logs.install()
    raise typer.Exit(lifecycle.run(Daemon(settings, logs).run))


@app.command()
def cleanup() -> None:
    """Takes back what a killed daemon has left on this host: routing rules and resolver settings.

    Example: `sudo ostiaryd cleanup`
    """
    from client.daemon.settings import COMPONENT, load_settings
    from client.host.cleanup import JOURNAL_FILE, clean_up
    from client.host.journal import Journal
    from runtime import logging
    from runtime.files import StateDir

    with exit_on_error():
        settings = load_settings(config_file=_Options.config, overrides=_Options.overrides)
        logging.configure(COMPONENT, settings.log_level, settings.log_json)
        if not settings.state_dir.exists():
            print_lines("nothing to clean up")
            return
        state = StateDir(settings.state_dir)
        state.lock()  # a daemon that runs cleans up after itself
        journal = Journal(settings.state_dir / JOURNAL_FILE)
        before = len(journal.pending)
        left = clean_up(journal)
    print_lines(f"{before - len(left)} of {before} changes taken back" if before else "nothing to clean up")
    if left:
        raise typer.Exit(FAILED)


@app.command("check-config")
def check_config(as_json: Annotated[bool, typer.Option("--json", help="JSON output.")] = False) -> None:
    """Shows each setting with its origin, or says which one is wrong.

    Example: `ostiaryd check-config`
    """
    from client.daemon.settings import load_settings
    from runtime.settings import describe

    with exit_on_error(as_json=as_json):
        rows = describe(load_settings(config_file=_Options.config, overrides=_Options.overrides))
    if as_json:
        print_json({"settings": [{"key": key, "value": value, "origin": origin} for key, value, origin in rows]})
    else:
        print_table(("KEY", "VALUE", "ORIGIN"), rows)


@app.command()
def version() -> None:
    """Prints the version."""
    print_lines(f"ostiaryd {SOFTWARE}")


def main() -> None:
    """Entry point."""
    app(prog_name=Path(sys.argv[0]).name)
