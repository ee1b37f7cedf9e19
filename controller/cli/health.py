"""`health`: asks the controller on this host over the loopback; for container health checks and systemd."""

import json
import ssl
from pathlib import Path

from controller.cli.options import load_settings
from controller.cli.worker_metrics import ask
from controller.settings import CA_FILE, WORKERS_SOCKET, Settings
from protocol.errors import LocalError, RemoteError
from protocol.reasons import Reason
from runtime.command_line import not_running
from runtime.console import error_object, exit_on_error, print_health
from runtime.files import StateDir, read_limited
from runtime.http import request
from runtime.lifecycle import run_command
from runtime.trust import client_context

DEADLINE_S = 5.0


def health(config: Path | None, *, ready: bool, as_json: bool) -> None:
    """Says how the controller is; leaves with 0, with 3 when it is not ready, with 5 when it does not run."""
    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        try:
            why = run_command(_ask_workers(settings)) if ready else None
            status, body = run_command(_ask(settings, "/healthz/ready" if ready else "/healthz/live"))
        except RemoteError as error:
            if error.reason is not Reason.CONTROLLER_UNREACHABLE:
                raise
            raise not_running("controller", error.detail) from error
        if status != 200:
            why = error_object(LocalError(Reason.UNAVAILABLE, _failed_checks(body)))
        raise SystemExit(print_health(why_not=why, ready=ready, as_json=as_json))


def _failed_checks(body: str) -> str:
    """Returns the checks that did not pass, as far as the answer names them."""
    try:
        checks = json.loads(body)["checks"].items()
    except (ValueError, LookupError, TypeError, AttributeError):
        return "it does not say why"
    return ", ".join(f"{name}: {outcome}" for name, outcome in checks if outcome != "ok")


async def _ask_workers(settings: Settings) -> dict[str, str] | None:
    """Returns what keeps one of several workers from its work: on the port, any of them answers, for itself alone."""
    try:
        said = json.loads(await ask(settings.state_dir / WORKERS_SOCKET, "/healthz/ready"))["why"]
    except (OSError, EOFError, TimeoutError, ValueError, LookupError, TypeError):
        # There are no several workers, or none at all: the port will tell.
        return None
    return dict(said) if isinstance(said, dict) else None


async def _ask(settings: Settings, path: str) -> tuple[int, str]:
    own = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - every address is this one, too
    host = own.get(settings.listen_host, settings.listen_host)
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if settings.tls == "off" else "https"
    answer = await request(
        "GET",
        f"{scheme}://{shown}:{settings.listen_port}{path}",
        context=_context(settings),
        deadline_s=DEADLINE_S,
    )
    return answer.status, answer.body.decode(errors="replace")


def _context(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls == "off":
        return None
    if settings.tls == "internal":
        ca = StateDir(settings.state_dir).read(CA_FILE)
        if ca is None:
            raise LocalError(Reason.NOT_SET_UP, f"{settings.state_dir} holds no {CA_FILE}")
        return client_context(ca)
    assert settings.tls_certificate is not None
    # The certificate is for the public name, and this is the loopback: it is enough that it is that very certificate.
    context = client_context(read_limited(settings.tls_certificate))
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context
