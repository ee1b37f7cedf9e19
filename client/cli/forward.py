"""`ostiary forward`: a port on this host's loopback that leads to a resource, while the command runs."""

from typing import Annotated, Any

import typer

from client.cli.control_socket import call
from client.cli.user import parse_target
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.command_line import JsonOption
from runtime.console import OK, exit_on_error, print_json, print_lines


def declare(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command("forward")
    def forward_command(
        target: Annotated[str, typer.Argument(metavar="HOST:PORT", help="The resource and its TCP port.")],
        listen: Annotated[
            int, typer.Argument(metavar="[PORT]", min=0, max=65535, help="Port on 127.0.0.1. Default: any.")
        ] = 0,
        as_json: JsonOption = False,
    ) -> None:
        """Lead a port of this host to a resource until Ctrl-C, for programs that know no proxy.

        It works in every mode and needs no root. Forwards that are always there belong into the daemon's
        settings: forwards = ["15432=db.corp.internal:5432"].

        \b
        Example:
          ostiary forward db.corp.internal:5432 15432 &
          psql -h 127.0.0.1 -p 15432
        """
        raise typer.Exit(forward(target, listen, as_json=as_json))


def forward(target: str, listen: int, *, as_json: bool) -> int:
    """`ostiary forward`: 130 at Ctrl-C, 8 when it is refused."""

    def show(event: dict[str, Any]) -> None:
        if as_json:
            print_json(event)
        else:
            print_lines(f"{event.get('listen')} leads to {target} ({event.get('resource_name')}) until Ctrl-C")

    with exit_on_error(as_json=as_json):
        host, port = parse_target(target, "tcp")
        if port is None:
            raise LocalError(Reason.INVALID_INPUT, f"{target!r} names no port, as in db.corp.internal:5432")
        call("forward", {"host": host, "port": port, "listen": listen}, deadline_s=None, on_event=show)
    return OK
