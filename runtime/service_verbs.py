"""What `… service install|uninstall|status` do; ``runtime.service_commands`` declares them."""

from runtime.console import NOT_READY, OK, exit_on_error, print_json, print_lines
from runtime.service import ROLES, Service


def install(role: str, users: tuple[str, ...], *, as_json: bool) -> int:
    """Installs, enables and starts the service of ``role``; ``users`` may use the client without sudo."""
    with exit_on_error(as_json=as_json):
        return _tell(Service(ROLES[role]).install(users=users), as_json=as_json)


def uninstall(role: str, *, as_json: bool) -> int:
    """Stops and removes it."""
    with exit_on_error(as_json=as_json):
        return _tell(Service(ROLES[role]).uninstall(), as_json=as_json)


def status(role: str, *, as_json: bool) -> int:
    """Shows it: 0 when it runs and is ready, 3 otherwise."""
    with exit_on_error(as_json=as_json):
        standing = Service(ROLES[role]).standing()
    if as_json:
        print_json({"ok": standing.active, "unit": standing.unit, "systemd": standing.shown})
    else:
        print_lines(standing.sentence)
    return OK if standing.active else NOT_READY


def _tell(done: tuple[str, ...], *, as_json: bool) -> int:
    if as_json:
        print_json({"ok": True, "done": done})
    else:
        print_lines(*done)
    return OK
