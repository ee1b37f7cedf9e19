"""`ostiary-relay`: enrols a relay, runs it, and looks at it.

This module only declares the commands; everything heavy is imported when one is run, so that `--help` is instant.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from protocol.errors import LocalError
from protocol.reasons import Reason
from protocol.version import PROTOCOL, SOFTWARE
from runtime.console import NO_DAEMON, NOT_READY, exit_on_error, print_error, print_json, print_lines, print_table

if TYPE_CHECKING:
    from relay.settings import Settings

ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file instead of /etc/ostiary/relay.toml.")]
JsonOption = Annotated[bool, typer.Option("--json", help='Print one JSON object with "schema": 1.')]

_STANDARD_INPUT = "-"

app = typer.Typer(
    name="ostiary-relay",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""The Ostiary relay: clients and connectors meet here. It sees opaque bytes, and no users and no resources.

    \b
    First steps:
      ostiary admin relay create NAME --fqdn relay.example.com     (on the controller; prints a token)
      ostiary-relay enroll --token-file -                          (here; paste the token)
      ostiary-relay run

    It needs one inbound TCP port and never connects anywhere itself.
    Settings come from flags, OSTIARY_* variables and /etc/ostiary/relay.toml, in this order; `check-config` shows each
    with its origin.
    """,
)


def main() -> None:
    """Entry point of the console script."""
    app()


@app.command()
def enroll(
    token: Annotated[
        str | None,
        typer.Argument(help="The enrolment token. Others on this host can see it here: prefer --token-file."),
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="File with the enrolment token; - reads standard input.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace an existing enrolment, for example to renew it.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Spend an enrolment token: gets this relay its certificate and the controller's keys.

    \b
    Example:
      ostiary-relay enroll --token-file /run/secrets/enrolment
    """
    from relay.enrol import enrol
    from runtime.clock import SystemClock
    from runtime.files import StateDir
    from runtime.lifecycle import run_command

    with exit_on_error(as_json=as_json):
        settings = _settings(config)
        text = _read_token(token, token_file)
        identity = run_command(enrol(text, StateDir(settings.state_dir), SystemClock(), force=force))
        expires = identity.certificate_expires.isoformat()
        if as_json:
            print_json(
                {
                    "ok": True,
                    "relay": identity.relay,
                    "fqdn": identity.fqdn,
                    "port": identity.port,
                    "certificate_expires": expires,
                }
            )
        else:
            print_lines(
                f"enrolled as {identity.relay}: {identity.fqdn}, port {identity.port}",
                f"certificate until {expires}",
                "next: ostiary-relay run",
            )


@app.command()
def run(
    listen_host: Annotated[str | None, typer.Option(help="Address to listen on. Default: every address.")] = None,
    listen_port: Annotated[int | None, typer.Option(help="Port to listen on. Default: as enrolled.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    config: ConfigOption = None,
) -> None:
    """Run the relay until SIGTERM; open pairs then have `drain_s` seconds to end.

    \b
    Example:
      ostiary-relay run --listen-port 443
    """
    from relay.daemon import Daemon
    from relay.settings import COMPONENT
    from runtime import lifecycle, logging

    with exit_on_error():
        overrides = {"listen_host": listen_host, "listen_port": listen_port, "log_level": log_level}
        settings = _settings(config, overrides)
    logging.configure(COMPONENT, settings.log_level, settings.log_json)
    raise typer.Exit(lifecycle.run(Daemon(settings).main))


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show what the running relay counts.

    \b
    Example:
      ostiary-relay status --json
    """
    found = _ask_daemon(config, as_json=as_json)
    if as_json:
        print_json({"ok": True, **found})
        return
    refusals = found.pop("refusals", {})
    rows = [(name.replace("_", " "), value) for name, value in found.items()]
    rows += [(f"refused: {code}", count) for code, count in sorted(refusals.items())]
    print_table(("", ""), rows)


@app.command()
def health(
    ready: Annotated[
        bool, typer.Option("--ready/--live", help="Ready: it takes connections. Live: the process answers.")
    ] = True,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell by the exit code whether the relay runs: 0 yes, 3 not ready, 5 not running.

    \b
    Example:
      ostiary-relay health --live
    """
    found = _ask_daemon(config, as_json=as_json)
    good = bool(found.get("ready")) or not ready
    if as_json:
        print_json({"ok": good, "ready": bool(found.get("ready"))})
    else:
        print_lines("ok" if good else "not ready: it is draining")
    if not good:
        raise typer.Exit(NOT_READY)


@app.command("check-config")
def check_config(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check settings and enrolment, and show each setting with its origin.

    \b
    Example:
      OSTIARY_LISTEN_PORT=443 ostiary-relay check-config
    """
    from relay.identity import load_identity
    from runtime.files import StateDir
    from runtime.settings import describe

    with exit_on_error(as_json=as_json):
        settings = _settings(config)
        rows = describe(settings)
        try:
            enrolment = str(load_identity(StateDir(settings.state_dir)).relay)
        except LocalError as error:
            if error.reason is not Reason.NOT_ENROLLED:
                raise
            enrolment = "not enrolled"
        if as_json:
            shown = [{"key": key, "value": value, "origin": origin} for key, value, origin in rows]
            print_json({"ok": True, "settings": shown, "enrolment": enrolment})
        else:
            print_table(("setting", "value", "origin"), rows)
            print_lines(f"enrolment: {enrolment}")


@app.command()
def version(as_json: JsonOption = False) -> None:
    """Print the version and the protocol's number."""
    if as_json:
        print_json({"version": SOFTWARE, "protocol": PROTOCOL})
    else:
        print_lines(f"ostiary-relay {SOFTWARE} (protocol {PROTOCOL})")


def _settings(config: Path | None, overrides: Mapping[str, object] | None = None) -> "Settings":
    from relay.settings import COMPONENT, Settings
    from runtime.settings import load

    return load(Settings, component=COMPONENT, config_file=config, overrides=overrides)


def _ask_daemon(config: Path | None, *, as_json: bool) -> dict[str, Any]:
    from runtime.lifecycle import run_command
    from runtime.status_socket import call

    with exit_on_error(as_json=as_json):
        path = _settings(config).socket_path
        try:
            return run_command(call(path, "status"))
        except LocalError as error:
            if error.reason is not Reason.DAEMON_NOT_RUNNING:
                raise
            print_error(error, as_json=as_json, next_step="Start it: `sudo systemctl start ostiary-relay`.")
            raise SystemExit(NO_DAEMON) from error


def _read_token(token: str | None, token_file: str | None) -> str:
    from protocol.enrolment import ENROLMENT_TOKEN_MAX_CHARS
    from runtime.files import read_limited

    if (token is None) == (token_file is None):
        raise LocalError(Reason.INVALID_INPUT, "give the enrolment token, or --token-file, and not both")
    if token is not None:
        return token
    if token_file == _STANDARD_INPUT:
        return sys.stdin.read(ENROLMENT_TOKEN_MAX_CHARS + 64)
    return read_limited(Path(str(token_file)), ENROLMENT_TOKEN_MAX_CHARS + 64).decode(errors="replace")


if __name__ == "__main__":
    main()
