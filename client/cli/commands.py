"""Declares the user's commands.

What the commands do is imported when one is run. Exit codes are those of ``runtime.console``; docs/commands.md lists them.
"""

from typing import Annotated

import typer

from client.cli import commands_checks, commands_dns, commands_settings
from runtime.command_line import JsonOption, command_group, version_option
from runtime.service_commands import service_group

_CODES = """
\b
Exit codes:
  0 ok              3 not connected    6 permission denied     130 interrupted
  1 failed          4 sign-in needed   7 timed out
  2 wrong usage     5 no daemon        8 denied by policy
"""

app = command_group(
    """Reach what your company granted you, by its own name, from any program.

    \b
    First steps:
      ostiary up https://ostiary.corp.example
      ostiary resources
      ostiary explain db.corp.internal:5432
    """,
    name="ostiary",
    epilog=_CODES,
)


@app.callback()
def root(version: Annotated[bool, version_option("ostiary")] = False) -> None:
    """What stands before the verb."""


@app.command("up")
def up(
    url: Annotated[
        str | None,
        typer.Argument(help="The controller, for the first time only; may end in #pin=sha256/….", show_default=False),
    ] = None,
    ca_pin: Annotated[
        str | None,
        typer.Option(metavar="PIN", help="SHA-256 pin of the controller's own CA, as your administrator gave it."),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File with a service account's enrolment token instead of a sign-in; - reads it from standard input.",
        ),
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="Give up after this long, for example 60s or 5m.")
    ] = "10m",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the page's address.")] = False,
    qr: Annotated[bool, typer.Option("--qr", help="Show the page as a QR code, to open it on a telephone.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Connect; sign in first when that is needed.

    \b
    Examples:
      sudo ostiary up https://ostiary.corp.example --ca-pin sha256/…
      sudo ostiary up --token-file - < ci.token
      ostiary up
      ostiary up --qr --no-browser
    """
    from client.cli import sign_in

    raise typer.Exit(
        sign_in.up(
            url,
            ca_pin=ca_pin,
            token_file=token_file,
            timeout=timeout,
            browser=not no_browser,
            qr=qr,
            as_json=as_json,
        )
    )


@app.command("login")
def login(
    timeout: Annotated[str, typer.Option(metavar="TIME", help="Give up after this long.")] = "10m",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the page's address.")] = False,
    qr: Annotated[bool, typer.Option("--qr", help="Show the page as a QR code, to open it on a telephone.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Sign in again at the controller that this host already knows.

    \b
    Example:
      ostiary login
    """
    from client.cli import sign_in

    raise typer.Exit(
        sign_in.up(
            None,
            ca_pin=None,
            token_file=None,
            timeout=timeout,
            browser=not no_browser,
            qr=qr,
            as_json=as_json,
            verb="login",
        )
    )


@app.command("auth")
def auth(
    check: Annotated[bool, typer.Option("--check", help="Only say until when; exit code 4 when it is due.")] = False,
    within: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only if the sign-in ends within this time, for example 12h. --check: 1d."),
    ] = None,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="Give up after this long.")] = "10m",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the page's address.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Extend your sign-in before it ends. Open connections go on.

    \b
    Examples:
      ostiary auth
      ostiary auth --within 12h && ./long-running-job
      ostiary auth --check --within 2h || notify-send "Sign in to Ostiary"
    """
    from client.cli import auth as command

    raise typer.Exit(command.auth(check=check, within=within, timeout=timeout, browser=not no_browser, as_json=as_json))


@app.command("down")
def down(as_json: JsonOption = False) -> None:
    """Disconnect and put the host's network settings back; you stay signed in.

    \b
    Example:
      ostiary down
    """
    from client.cli import user

    raise typer.Exit(user.down(as_json=as_json))


@app.command("logout")
def logout(as_json: JsonOption = False) -> None:
    """End the sign-in of this device.

    \b
    Example:
      ostiary logout
    """
    from client.cli import user

    raise typer.Exit(user.logout(as_json=as_json))


@app.command("status")
def status(
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Print it again every second until Ctrl-C.")] = False,
    check: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="Only the exit code. live: the daemon answers. ready: a connector answers."),
    ] = None,
) -> None:
    """Say whether you are connected, as whom, since when. Exit code 0 only when a connector has answered just now.

    A remote network is called reachable only when a connector in it has answered through the tunnel; how long ago that was
    stands on its line.

    \b
    Examples:
      ostiary status
      ostiary status --check ready && make deploy
    """
    from client.cli import user

    if check not in (None, "live", "ready"):
        raise typer.BadParameter("it is live or ready", param_hint="--check")
    raise typer.Exit(user.status(as_json=as_json, watch=watch, check=check))


@app.command("resources")
def resources(
    names: Annotated[
        bool, typer.Option("--names", help="Only names and addresses, one per line, for scripts and completion.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List what you may reach.

    \b
    Example:
      ostiary resources
    """
    from client.cli import user

    raise typer.Exit(user.resources(as_json=as_json, names=names))


@app.command("explain")
def explain(
    target: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="A name or an address; a URL works too.")],
    udp: Annotated[bool, typer.Option("--udp", help="Ask about UDP instead of TCP.")] = False,
    icmp: Annotated[bool, typer.Option("--icmp", help="Ask about ping.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say who handles a destination, by which resource and grant, or why not. Exit code 8 when it is refused.

    \b
    Examples:
      ostiary explain db.corp.internal:5432
      ostiary explain 10.20.0.10 --icmp
    """
    from client.cli import user

    if udp and icmp:
        raise typer.BadParameter("choose one of --udp and --icmp", param_hint="--udp")
    raise typer.Exit(user.explain(target, "udp" if udp else "icmp" if icmp else "tcp", as_json=as_json))


@app.command("request")
def request(
    resource: Annotated[
        str, typer.Argument(metavar="RESOURCE", help="HOST[:PORT] as you were denied it, or its name.")
    ],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why you need it, for whoever answers.")],
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="For how long, for example 2h or 3d. Default: 8h.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Come back when it was answered.")] = False,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="With --wait: give up after this long.")] = "1h",
    as_json: JsonOption = False,
) -> None:
    """Ask for access. Somebody who may answers; then it works at once, until it ends by itself.

    With --wait the exit code is 0 when it was approved and 8 when it was denied.

    \b
    Examples:
      ostiary request db.corp.internal:5432 --reason "release 4.2, OPS-17" --for 2h
      ostiary request Payroll --reason audit --wait --timeout 30m
    """
    from client.cli import asking

    raise typer.Exit(asking.request(resource, reason, duration=duration, wait=wait, timeout=timeout, as_json=as_json))


@app.command("requests")
def requests(
    withdraw: Annotated[
        str | None, typer.Option("--withdraw", metavar="ID", help="Take this request back instead.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List what you asked for, and what became of it.

    \b
    Example:
      ostiary requests
    """
    from client.cli import asking

    raise typer.Exit(asking.requests(withdraw=withdraw, as_json=as_json))


@app.command("doctor")
def doctor(as_json: JsonOption = False) -> None:
    """Check every link from this host to a connector; name the cause of trouble and the next command.

    \b
    Example:
      ostiary doctor
    """
    from client.cli import user

    raise typer.Exit(user.doctor(as_json=as_json))


@app.command("logs")
def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    count: Annotated[int, typer.Option("--lines", "-n", min=0, max=10_000, help="How many lines to begin with.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show what the daemon logged lately.

    \b
    Example:
      ostiary logs -f
    """
    from client.cli import user

    raise typer.Exit(user.logs(count, follow=follow, as_json=as_json))


@app.command("version")
def show_version(as_json: JsonOption = False) -> None:
    """Print the versions of this command and of the daemon.

    \b
    Example:
      ostiary version --json
    """
    from client.cli import user

    raise typer.Exit(user.version(as_json=as_json))


commands_checks.declare(app)
commands_settings.declare(app)
app.add_typer(service_group("client", "ostiary"))
app.add_typer(commands_dns.app)

# Only its name and its help, for `ostiary --help`; client.cli.main hands its commands to client.cli.admin.
_admin = command_group("Administer the network: connectors, resources, people, grants, audit.", without_verb=True)
_admin.callback(invoke_without_command=True)(lambda: None)
app.add_typer(_admin, name="admin")
