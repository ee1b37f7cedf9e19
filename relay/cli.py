"""`ostiary-relay`: enrols a relay, runs it, and looks at it.

This module only declares the commands; everything heavy is imported when one is run, so that `--help` is instant.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.command_line import (
    ForceOption,
    JsonOption,
    LogFormatOption,
    LogLevelOption,
    ReadyOption,
    RuntimeOption,
    StateOption,
    TokenArgument,
    TokenFileOption,
    ask_daemon,
    command_group,
    config_option,
    enrolment_token,
    version_option,
)
from runtime.console import (
    exit_on_error,
    print_health,
    print_json,
    print_lines,
    print_settings,
    print_table,
    print_version,
)
from runtime.service_commands import service_group

if TYPE_CHECKING:
    from relay.settings import Settings

ConfigOption = Annotated[Path | None, config_option("relay")]

app = command_group(
    """The Ostiary relay: clients and connectors meet here. It sees opaque bytes, and no users and no resources.

    \b
    First steps:
      ostiary admin relay create NAME --fqdn relay.example.com     (on the controller; prints a token)
      ostiary-relay enroll --token-file -                          (here; paste the token)
      ostiary-relay run

    It needs one inbound TCP port and never connects anywhere itself.
    Settings come from flags, OSTIARY_* variables and /etc/ostiary/relay.toml, in this order; `check-config` shows each
    with its origin.
    """,
    name="ostiary-relay",
)


def main() -> None:
    """Entry point of the console script."""
    app()


@app.callback()
def root(version: Annotated[bool, version_option("ostiary-relay")] = False) -> None:
    """What stands before the verb."""


@app.command()
def enroll(
    token: TokenArgument = None,
    token_file: TokenFileOption = None,
    force: ForceOption = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Spend an enrolment token: get this relay its certificate and the controller's keys.

    \b
    Example:
      ostiary-relay enroll --token-file /run/secrets/enrolment
    """
    from relay.enrol import enrol
    from runtime.clock import SystemClock
    from runtime.files import StateDir
    from runtime.lifecycle import run_command

    with exit_on_error(as_json=as_json):
        text = enrolment_token(token, token_file)
        settings = _settings(config, state_dir=state_dir)
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
    config: ConfigOption = None,
    state_dir: StateOption = None,
    runtime_dir: RuntimeOption = None,
    log_level: LogLevelOption = None,
    log_json: LogFormatOption = None,
) -> None:
    """Run the relay until SIGTERM; open pairs then have `drain_s` seconds to end.

    \b
    Example:
      ostiary-relay run --listen-port 443
    """
    import runtime.lean_structlog  # noqa: F401
    from relay.daemon import Daemon
    from relay.settings import COMPONENT
    from runtime import lifecycle, logging

    with exit_on_error():
        settings = _settings(
            config,
            listen_host=listen_host,
            listen_port=listen_port,
            state_dir=state_dir,
            runtime_dir=runtime_dir,
            log_level=log_level,
            log_json=log_json,
        )
    logging.configure(COMPONENT, settings.log_level, settings.log_json)
    raise typer.Exit(lifecycle.run(Daemon(settings).main))


@app.command()
def status(config: ConfigOption = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False) -> None:
    """Show what the running relay counts.

    \b
    Example:
      ostiary-relay status --json
    """
    with exit_on_error(as_json=as_json):
        found = _ask("status", config, runtime_dir)
    if as_json:
        print_json(found)
        return
    refusals = found.pop("refusals", {})
    rows = [(name.replace("_", " "), value) for name, value in found.items()]
    rows += [(f"refused: {code}", count) for code, count in sorted(refusals.items())]
    print_table(("COUNTER", "VALUE"), rows)


@app.command()
def health(
    ready: ReadyOption = True,
    config: ConfigOption = None,
    runtime_dir: RuntimeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell by the exit code how the relay is: 0 well, 3 not ready, 5 not running.

    Ready means: it listens and takes connections; it does not while it drains.

    \b
    Example:
      ostiary-relay health --live
    """
    with exit_on_error(as_json=as_json):
        why = _ask("health", config, runtime_dir)["why"]
    raise typer.Exit(print_health(why_not=why, ready=ready, as_json=as_json))


@app.command("check-config")
def check_config(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    runtime_dir: RuntimeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every setting with its origin, say what is wrong with them, and whether the relay is enrolled.

    \b
    Example:
      OSTIARY_LISTEN_PORT=443 ostiary-relay check-config
    """
    from relay.identity import load_identity
    from runtime.files import StateDir
    from runtime.settings import describe

    with exit_on_error(as_json=as_json):
        settings = _settings(config, state_dir=state_dir, runtime_dir=runtime_dir)
        relay, standing = None, "not enrolled; next: ostiary-relay enroll --token-file FILE"
        try:
            identity = load_identity(StateDir(settings.state_dir))
            relay, standing = identity.relay, f"enrolled as {identity.relay}: {identity.fqdn}, port {identity.port}"
        except LocalError as error:
            if error.reason is not Reason.NOT_ENROLLED:
                raise
        print_settings(
            describe(settings),
            as_json=as_json,
            standing=standing,
            facts={"enrolled": relay is not None, "relay": relay},
        )


@app.command()
def version(as_json: JsonOption = False) -> None:
    """Print the version of the software and of the protocol."""
    print_version("ostiary-relay", as_json=as_json)


app.add_typer(service_group("relay", "ostiary-relay"))


def _settings(config: Path | None, **flags: object) -> "Settings":
    from relay.settings import COMPONENT, Settings
    from runtime.settings import load

    return load(Settings, component=COMPONENT, config_file=config, overrides=flags)


def _ask(verb: str, config: Path | None, runtime_dir: Path | None) -> dict[str, Any]:
    return ask_daemon("relay", _settings(config, runtime_dir=runtime_dir).socket_path, verb)


if __name__ == "__main__":
    main()
