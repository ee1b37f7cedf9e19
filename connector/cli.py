"""``ostiary-connector``: enrol, run, look, test. Every command explains itself with ``--help`` and speaks JSON with ``--json``.

Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 not connected or not ready, 5 daemon not running, 6 permission,
7 timed out, 8 denied by policy, 130 interrupted.
"""

import contextlib
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from connector.daemon import Daemon
from connector.enrol import enrol, read_token_file
from connector.identity import load_identity
from connector.probe import parse_target, probe
from connector.render import render_probe_step, render_status
from connector.resolver import Resolver
from connector.settings import COMPONENT, Settings
from connector.status import status_handler
from protocol.enrolment import ENROLMENT_TOKEN_MAX_CHARS
from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from protocol.version import PROTOCOL, SOFTWARE
from runtime import console
from runtime.clock import SystemClock
from runtime.files import StateDir
from runtime.lifecycle import Lifecycle, run_command
from runtime.lifecycle import run as run_daemon
from runtime.logging import configure
from runtime.settings import describe, load
from runtime.status_socket import StatusServer, call

START_HINT: Final = "Start it: `ostiary-connector run`, or `systemctl start ostiary-connector`."
STDIN: Final = "-"
OPEN_FILES_WANTED: Final = 65_536

app = typer.Typer(
    name="ostiary-connector",
    help="The connector of an Ostiary network: it stands in a private network, keeps outbound connections only, and lets "
    "in exactly what a signed policy allows.\n\nFirst `enroll` with the token that `ostiary admin connector create` "
    "printed, then `run`; `status` shows how it is doing.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings file. Default: /etc/ostiary/connector.toml.")
]
StateOption = Annotated[
    Path | None, typer.Option("--state-dir", metavar="DIR", help="Where identity and key are kept.")
]
RuntimeOption = Annotated[
    Path | None, typer.Option("--runtime-dir", metavar="DIR", help="Where the daemon's status socket is.")
]
JsonOption = Annotated[bool, typer.Option("--json", help='Print one JSON object, {"schema": 1, ...}.')]


def main() -> None:
    """Entry point of the installed command."""
    app()


@app.callback()
def prepare() -> None:
    """Sends what short commands have to complain about to stderr; ``run`` sets the log up as its settings say."""
    configure(COMPONENT, "warning", json=False)


@app.command()
def enroll(
    token: Annotated[
        str | None, typer.Argument(metavar="TOKEN", help="The token itself (visible in `ps`), or `-` for stdin.")
    ] = None,
    token_file: Annotated[
        str | None, typer.Option("--token-file", metavar="FILE", help="Read the token from FILE; `-` is stdin.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing enrolment.")] = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    json: JsonOption = False,
) -> None:
    """Spend an enrolment token and become a connector.

    The connector makes its own key, which never leaves this host, checks that it talks to the controller that the token
    names, and stores who it is. The token is good for one use.

    \b
    Examples:
      ostiary-connector enroll --token-file token.txt
      ostiary-connector enroll --token-file -          # paste it, then Ctrl-D
    """
    with console.exit_on_error(as_json=json):
        text = _read_token(token, token_file)
        settings = _settings(config, state_dir=state_dir)
        identity = run_command(enrol(text, StateDir(settings.state_dir), SystemClock(), force=force))
        if json:
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
                f"next: {START_HINT}",
            )


@app.command()
def run(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    runtime_dir: RuntimeOption = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
    ] = None,
    log_json: Annotated[bool | None, typer.Option("--log-json/--log-text", help="Format of the log on stderr.")] = None,
) -> None:
    """Run the connector in the foreground until SIGTERM or Ctrl-C.

    It connects to the controller and to every relay of its config, and serves. On SIGTERM it takes nothing new, lets open
    connections go on for `drain_s` seconds, and ends; a second signal ends it at once.
    """
    with console.exit_on_error():
        settings = _settings(
            config, state_dir=state_dir, runtime_dir=runtime_dir, log_level=log_level, log_json=log_json
        )
        state = StateDir(settings.state_dir)
        identity = load_identity(state)
        state.ensure()
        state.lock()
    configure(COMPONENT, settings.log_level, settings.log_json)
    _raise_file_limit()

    async def serve(lifecycle: Lifecycle) -> None:
        daemon = Daemon(settings, identity, state)
        async with StatusServer(settings.socket_path, status_handler(daemon)):
            await daemon.run(lifecycle)

    raise SystemExit(run_daemon(serve))


@app.command()
def status(config: ConfigOption = None, runtime_dir: RuntimeOption = None, json: JsonOption = False) -> None:
    """Show how the running connector is doing: controller, relays, config, tunnels, flows."""
    with _asking_the_daemon(json):
        answer = _call(_settings(config, runtime_dir=runtime_dir), "status")
        if json:
            console.print_json(answer)
        else:
            render_status(answer)


@app.command()
def health(
    ready: Annotated[
        bool, typer.Option("--ready/--live", help="--live (default): does it answer? --ready: can it serve clients?")
    ] = False,
    config: ConfigOption = None,
    runtime_dir: RuntimeOption = None,
    json: JsonOption = False,
) -> None:
    """Tell by exit code whether the connector is alive (--live) or able to serve clients (--ready).

    Ready means: a valid config, and at least one relay through which clients can come. Without the controller a connector
    stays ready for as long as its config is valid. Exit codes: 0 yes, 3 not ready, 5 not running.
    """
    with _asking_the_daemon(json):
        answer = _call(_settings(config, runtime_dir=runtime_dir), "health")
        good = bool(answer["ready"]) if ready else True
        if json:
            console.print_json({"ok": good, **answer})
        elif good:
            console.print_lines("ready" if ready else "alive")
        else:
            why = answer["why"] or {}
            detail = f" ({why['detail']})" if why.get("detail") else ""
            console.print_lines(f"not ready: {why.get('sentence', '')}{detail}", f"next: {why.get('next', '')}")
        if not good:
            raise SystemExit(console.NOT_READY)


@app.command("test")
def reach(
    target: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="For example db.corp.internal:5432 or [fd00::5]:80.")
    ],
    config: ConfigOption = None,
    runtime_dir: RuntimeOption = None,
    json: JsonOption = False,
) -> None:
    """Reach a destination from this host exactly as a user's connection would: resolve, check, connect.

    The running connector does it, with its config and its resolvers. Without one it is done directly, and then only this
    host's network and the built-in egress rules count.

    \b
    Exit codes: 0 it connects, 1 refused or unreachable, 7 no answer, 8 an egress rule forbids the address.
    """
    steps: list[dict[str, Any]] = []

    def note(step: dict[str, Any]) -> None:
        steps.append(step)
        if not json:
            render_probe_step(step)

    with console.exit_on_error(as_json=json):
        parse_target(target)
        settings = _settings(config, runtime_dir=runtime_dir)
        try:
            answer = _call(settings, "test", {"target": target}, on_event=note)
        except OstiaryError as error:
            if error.reason is not Reason.DAEMON_NOT_RUNNING:
                raise
            if not json:
                console.warn("the connector is not running; testing directly, without its config")
            answer = run_command(_probe_directly(target, settings, note))
        if json:
            console.print_json({"ok": True, "target": target, "steps": steps, **answer})
        else:
            console.print_lines(f"connected to {answer['address']} in {answer['connect_ms']} ms")


@app.command("check-config")
def check_config(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    runtime_dir: RuntimeOption = None,
    json: JsonOption = False,
) -> None:
    """Check settings and enrolment without starting anything; shows each value and where it comes from."""
    with console.exit_on_error(as_json=json):
        settings = _settings(config, state_dir=state_dir, runtime_dir=runtime_dir)
        rows = describe(settings)
        identity = load_identity(StateDir(settings.state_dir))
        identity.context()
        if json:
            console.print_json(
                {
                    "ok": True,
                    "settings": [{"key": key, "value": value, "origin": origin} for key, value, origin in rows],
                    "connector": identity.connector,
                    "controller_url": identity.controller_url,
                }
            )
        else:
            console.print_table(["SETTING", "VALUE", "FROM"], rows)
            console.print_lines(f"enrolled as {identity.connector} at {identity.controller_url}")


@app.command()
def version(json: JsonOption = False) -> None:
    """Print the version of the software and of the protocol."""
    if json:
        console.print_json({"component": COMPONENT, "software": SOFTWARE, "protocol": PROTOCOL})
    else:
        console.print_lines(f"ostiary-connector {SOFTWARE} (protocol {PROTOCOL})")


def _settings(config: Path | None, **flags: object) -> Settings:
    return load(Settings, component=COMPONENT, config_file=config, overrides=flags)


def _read_token(token: str | None, token_file: str | None) -> str:
    if (token is None) == (token_file is None):
        raise LocalError(Reason.INVALID_INPUT, "give the token by --token-file FILE (`-` for stdin)")
    if STDIN in (token, token_file):
        return sys.stdin.read(ENROLMENT_TOKEN_MAX_CHARS + 64)
    if token_file is not None:
        return read_token_file(Path(token_file))
    console.warn("a token on the command line is visible to others in `ps` and stays in the shell's history")
    return token or ""


def _call(
    settings: Settings,
    verb: str,
    args: Mapping[str, Any] | None = None,
    *,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    return run_command(call(settings.socket_path, verb, args, on_event=on_event))


async def _probe_directly(target: str, settings: Settings, note: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    clock = SystemClock()

    async def emit(step: Mapping[str, Any]) -> None:
        note(dict(step))

    resolver = Resolver(clock, settings.resolver_addresses)
    return await probe(parse_target(target), resolver=resolver, served=None, wall=clock.wall(), emit=emit)


@contextlib.contextmanager
def _asking_the_daemon(as_json: bool) -> Iterator[None]:
    """Errors as usual, with the connector's own way of being started."""
    try:
        yield
    except OstiaryError as error:
        down = error.reason is Reason.DAEMON_NOT_RUNNING
        console.print_error(
            error,
            as_json=as_json,
            sentence="The connector is not running." if down else None,
            next_step=START_HINT if down else None,
        )
        raise SystemExit(console.exit_code(error.reason)) from error
    except KeyboardInterrupt as interrupt:
        raise SystemExit(console.INTERRUPTED) from interrupt


def _raise_file_limit() -> None:
    """Each flow is a socket; the usual soft limit of 1,024 would be the first thing to run out (F-28)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_WANTED)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
