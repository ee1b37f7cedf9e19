"""`ostiary forward`: a port on this host's loopback that leads to a resource, while the command runs."""

from typing import Any

from client.cli.control_socket import call
from client.cli.user import parse_target
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.console import OK, exit_on_error, print_json, print_lines


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
