"""``ostiary-connector``: enrol, run, look, test. Every command explains itself with ``--help`` and speaks JSON with ``--json``.

Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 not connected or not ready, 5 daemon not running, 6 permission,
7 timed out, 8 denied by policy, 130 interrupted.

This module only declares the commands; everything heavy is imported when one is run, so that `--help` and `health` are quick.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli_keys import rotate_key
from connector.cli_witness import witness
from connector.settings import COMPONENT, Settings
from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from runtime import console
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
from runtime.service_commands import service_group
from runtime.settings import describe, load

if TYPE_CHECKING:
    from connector.identity import Identity
    from runtime.files import StateDir
    from runtime.lifecycle import Lifecycle

ConfigOption = Annotated[Path | None, config_option(COMPONENT)]

app = command_group(
    """The Ostiary connector: it stands in a private network, keeps outbound connections only, and lets in exactly what
    a signed policy allows.

    \b
    First steps:
      ostiary admin connector create NAME --network NETWORK        (anywhere; prints a token)
      ostiary-connector enroll --token-file -                      (here; paste the token)
      ostiary-connector run

    Settings come from flags, OSTIARY_* variables and /etc/ostiary/connector.toml, in this order; `check-config` shows
    each with its origin.
    """,
    name="ostiary-connector",
)
app.add_typer(witness, name="witness")
app.command("rotate-key")(rotate_key)


def main() -> None:
    """Entry point of the installed command."""
    app()


@app.callback()
def root(version: Annotated[bool, version_option("ostiary-connector")] = False) -> None:
    """Has only options."""


@app.command()
def enroll(
    token: TokenArgument = None,
    token_file: TokenFileOption = None,
    force: ForceOption = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Spend an enrolment token and become a connector.

    The connector makes its own key, which never leaves this host, checks that it talks to the controller that the token
    names, and stores who it is. The token is good for one use.

    \b
    Examples:
      ostiary-connector enroll --token-file token.txt
      ostiary-connector enroll --token-file -          # paste it, then Enter
    """
    from connector.enrol import enrol
    from runtime.clock import SystemClock
    from runtime.files import StateDir
    from runtime.lifecycle import run_command

    _log_complaints()
    with console.exit_on_error(as_json=as_json):
        text = enrolment_token(token, token_file)
        settings = _settings(config, state_dir=state_dir)
        _go_by_proxy(settings)
        identity = run_command(enrol(text, StateDir(settings.state_dir), SystemClock(), force=force))
        if as_json:
            console.print_json(
                {
                    "ok": True,
                    "connector": identity.connector,
                    "network": identity.network,
                    "controller_url": identity.controller_url,
                    "pin": identity.pin,
                }
            )
        else:
            console.print_lines(
                f"Enrolled as {identity.connector} at {identity.controller_url}.",
                f"Certificate pin: {identity.pin}",
                "next: ostiary-connector run",
            )


@app.command()
def run(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    runtime_dir: RuntimeOption = None,
    log_level: LogLevelOption = None,
    log_json: LogFormatOption = None,
) -> None:
    """Run the connector in the foreground until SIGTERM or Ctrl-C.

    It connects to the controller and to every relay of its config, and serves. On SIGTERM it takes nothing new, lets open
    connections go on for `drain_s` seconds, and ends; a second signal ends it at once.
    """
    import runtime.lean_structlog  # noqa: F401
    from connector.identity import load_identity
    from runtime import lifecycle, logging
    from runtime.descriptors import raise_limit
    from runtime.files import StateDir

    _log_complaints()
    with console.exit_on_error():
        settings = _settings(
            config, state_dir=state_dir, runtime_dir=runtime_dir, log_level=log_level, log_json=log_json
        )
        _go_by_proxy(settings)
        state = StateDir(settings.state_dir)
        identity = load_identity(state)
        state.ensure()
        state.lock()
    logging.configure(COMPONENT, settings.log_level, settings.log_json)
    raise_limit()
    raise SystemExit(lifecycle.run(lambda life: _serve(life, settings, identity, state)))


async def _serve(life: "Lifecycle", settings: Settings, identity: "Identity", state: "StateDir") -> None:
    from connector import metrics
    from connector.daemon import Daemon
    from connector.status import status_handler
    from runtime.metrics import SOCKET_NAME, MetricsServer
    from runtime.status_socket import StatusServer

    daemon = Daemon(settings, identity, state)
    shown = MetricsServer(metrics.source(daemon), settings.metrics_listen, settings.runtime_dir / SOCKET_NAME)
    async with StatusServer(settings.socket_path, status_handler(daemon)), shown:
        await daemon.run(life)


@app.command()
def status(config: ConfigOption = None, runtime_dir: RuntimeOption = None, as_json: JsonOption = False) -> None:
    """Show how the running connector is doing: controller, relays, config, tunnels, flows.

    \b
    Example:
      ostiary-connector status --json
    """
    from connector.render import render_status

    with console.exit_on_error(as_json=as_json):
        answer = _ask(_settings(config, runtime_dir=runtime_dir), "status")
        if as_json:
            console.print_json(answer)
        else:
            render_status(answer)


@app.command()
def health(
    ready: ReadyOption = True,
    config: ConfigOption = None,
    runtime_dir: RuntimeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell by the exit code how the connector is: 0 well, 3 not ready, 5 not running.

    Ready means: a valid config, and at least one relay through which clients can come. Without the controller a connector
    stays ready for as long as its config is valid.

    \b
    Example:
      ostiary-connector health --live
    """
    with console.exit_on_error(as_json=as_json):
        why = _ask(_settings(config, runtime_dir=runtime_dir), "health")["why"]
    raise typer.Exit(console.print_health(why_not=why, ready=ready, as_json=as_json))


@app.command("test")
def reach(
    target: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="For example db.corp.internal:5432 or [fd00::5]:80.")
    ],
    config: ConfigOption = None,
    runtime_dir: RuntimeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reach a destination from this host exactly as a user's connection would: resolve, check, connect.

    The running connector does it, with its config and its resolvers. Without one it is done directly, and then only this
    host's network and the built-in egress rules count.

    \b
    Exit codes: 0 it connects, 1 refused or unreachable, 7 no answer, 8 an egress rule forbids the address.
    """
    from connector.probe import parse_target
    from connector.render import render_probe_step
    from runtime.lifecycle import run_command

    _log_complaints()
    steps: list[dict[str, Any]] = []

    def note(step: dict[str, Any]) -> None:
        steps.append(step)
        if not as_json:
            render_probe_step(step)

    with console.exit_on_error(as_json=as_json):
        parse_target(target)
        settings = _settings(config, runtime_dir=runtime_dir)
        try:
            answer = _ask(settings, "test", {"target": target}, on_event=note)
        except OstiaryError as error:
            if error.reason is not Reason.DAEMON_NOT_RUNNING:
                raise
            if not as_json:
                console.warn("the connector is not running; testing directly, without its config")
            answer = run_command(_probe_directly(target, settings, note))
        if as_json:
            console.print_json({"ok": True, "target": target, "steps": steps, **answer})
        else:
            console.print_lines(f"connected to {answer['address']} in {answer['connect_ms']} ms")


@app.command("check-config")
def check_config(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    runtime_dir: RuntimeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every setting with its origin, say what is wrong with them, and whether the connector is enrolled.

    \b
    Example:
      OSTIARY_PARKED_LEGS=4 ostiary-connector check-config
    """
    _log_complaints()
    with console.exit_on_error(as_json=as_json):
        settings = _settings(config, state_dir=state_dir, runtime_dir=runtime_dir)
        _go_by_proxy(settings)
        identity = _enrolled(settings)
        standing = "not enrolled; next: ostiary-connector enroll --token-file FILE"
        facts: dict[str, object] = {"enrolled": identity is not None, "connector": None, "controller_url": None}
        if identity is not None:
            identity.context()
            standing = f"enrolled as {identity.connector} at {identity.controller_url}"
            facts |= {"connector": identity.connector, "controller_url": identity.controller_url}
        console.print_settings(describe(settings), as_json=as_json, standing=standing, facts=facts)


@app.command()
def version(as_json: JsonOption = False) -> None:
    """Print the version of the software and of the protocol."""
    console.print_version("ostiary-connector", as_json=as_json)


app.add_typer(service_group("connector", "ostiary-connector"))


def _settings(config: Path | None, **flags: object) -> Settings:
    return load(Settings, component=COMPONENT, config_file=config, overrides=flags)


def _log_complaints() -> None:
    """What a short command has to complain about goes to stderr; ``run`` sets the log up as its settings say."""
    from runtime.logging import configure

    configure(COMPONENT, "warning", json=False)


def _go_by_proxy(settings: Settings) -> None:
    """Controller and relays are reached as the settings, or the environment, say. Raises LocalError(CONFIG_INVALID)."""
    from runtime import upstream_proxy

    upstream_proxy.use(upstream_proxy.choose(settings.upstream_proxy, settings.upstream_proxy_login_file))


def _enrolled(settings: Settings) -> "Identity | None":
    from connector.identity import load_identity
    from runtime.files import StateDir

    try:
        return load_identity(StateDir(settings.state_dir))
    except LocalError as error:
        if error.reason is not Reason.NOT_ENROLLED:
            raise
        return None


def _ask(
    settings: Settings,
    verb: str,
    args: Mapping[str, Any] | None = None,
    *,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    return ask_daemon(COMPONENT, settings.socket_path, verb, args, on_event=on_event)


async def _probe_directly(target: str, settings: Settings, note: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    from connector.probe import parse_target, probe
    from connector.resolver import Resolver
    from runtime.clock import SystemClock

    clock = SystemClock()

    async def emit(step: Mapping[str, Any]) -> None:
        note(dict(step))

    resolver = Resolver(clock, settings.resolver_addresses)
    return await probe(parse_target(target), resolver=resolver, served=None, wall=clock.wall(), emit=emit)
