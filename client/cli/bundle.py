"""`ostiary report`: everything that helps whoever has to find a fault, in one archive of plain text, without secrets.

It is made here and stays here: nothing is sent. What a daemon that does not answer cannot say is left out, and said.
"""

import io
import json
import os
import platform
import socket
import tarfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from client.cli.control_socket import call
from client.cli.kernel_routes import readable_ipv6_routes, readable_routes
from client.cli.redaction import Redactor, names_in, names_in_forwards
from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from protocol.version import SOFTWARE
from runtime.console import OK, AdviceError, exit_on_error, print_json, print_lines, print_table, say

LOG_LINES: Final = 2_000
EVENT_LINES: Final = 1_000
FILE_MAX_BYTES: Final = 4 * 1024 * 1024
_HOST_FILES: Final = (
    "/etc/os-release",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/proc/version",
    "/proc/net/route",
    "/proc/net/ipv6_route",
    "/proc/net/dev",
    "/proc/sys/net/ipv4/conf/all/rp_filter",
    "/proc/loadavg",
    "/proc/meminfo",
)
_READABLE: Final[Mapping[str, Callable[[str], str]]] = {
    "/proc/net/route": readable_routes,
    "/proc/net/ipv6_route": readable_ipv6_routes,
}
_ASKED: Final[tuple[tuple[str, dict[str, Any], float], ...]] = (
    ("version", {}, 5.0),
    ("status", {"verify_s": 5.0}, 15.0),
    ("resources", {}, 15.0),
    ("doctor", {}, 60.0),
    ("netcheck", {}, 60.0),
    ("events", {"n": EVENT_LINES}, 15.0),
    ("logs", {"n": LOG_LINES}, 15.0),
)


def report(output: str | None, *, anonymise: bool, as_json: bool) -> int:
    """Writes the archive, and says what is in it and what was taken out."""
    with exit_on_error(as_json=as_json):
        path = _free_path(output)
        if not as_json:
            say("collecting; this can take a minute when something does not answer…")
        answers, missing = _ask_daemon()
        redactor = Redactor(_names(answers, anonymise=anonymise), private_addresses=anonymise)
        unknown = _unknown(missing, anonymise=anonymise)
        files = {name: redactor.clean(text) for name, text in _files(answers, missing, redactor).items()}
        files["ABOUT.txt"] = _about(files, redactor, unknown, anonymise=anonymise)
        _write(files, path)
    counts = dict(sorted(redactor.counts.items()))
    if as_json:
        sizes = {name: len(text.encode()) for name, text in sorted(files.items())}
        print_json({"ok": True, "file": str(path), "contents": sizes, "replaced": counts, "missing": missing})
        return OK
    print_table(("FILE", "BYTES"), [(name, len(text.encode())) for name, text in sorted(files.items())])
    for name, why in missing.items():
        print_lines(f"left out: {name}: {why}")
    if unknown:
        print_lines(f"not known, and so not replaced: {unknown}")
    print_lines(f"replaced: {_counted(counts)}", f"written to {path}; look into it before you give it away")
    return OK


def _ask_daemon() -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    answers: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    for verb, args, deadline_s in _ASKED:
        try:
            answers[verb] = call(verb, args, deadline_s=deadline_s)
        except OstiaryError as error:
            missing[verb] = str(error)
            if error.reason in (Reason.DAEMON_NOT_RUNNING, Reason.PERMISSION_DENIED):
                missing |= {other: str(error) for other, _, _ in _ASKED if other not in answers}
                break
    return answers, missing


def _names(answers: Mapping[str, dict[str, Any]], *, anonymise: bool) -> list[tuple[str, str]]:
    """People and this host always become numbers; what the company calls its things only when that is asked for."""
    status, hostname = answers.get("status", {}), socket.gethostname()
    found = names_in(status, answers.get("resources", {}), hostname)
    if anonymise:
        url = str((status.get("controller") or {}).get("url") or "")
        found.append(("controller", url.partition("://")[2].partition("/")[0].partition(":")[0]))
        return found + names_in_forwards(_forwards())
    # A service account's name is no person's.
    return [(kind, name) for kind, name in found if kind == "host" or (kind == "user" and not status.get("service"))]


def _unknown(missing: Mapping[str, str], *, anonymise: bool) -> str:
    """Says which names a daemon that did not answer would have told; empty when none is missing."""
    kinds = ["people"] if "status" in missing else []
    if anonymise:
        kinds += ["networks", "connectors", "relays", "the controller"] if "status" in missing else []
        kinds += ["resources"] if "resources" in missing else []
    return f"names of {', '.join(kinds)}" if kinds else ""


def _files(answers: Mapping[str, dict[str, Any]], missing: Mapping[str, str], redactor: Redactor) -> dict[str, str]:
    files: dict[str, str] = {}
    for verb, answer in answers.items():
        if verb == "logs":
            files["daemon.log"] = "".join(f"{_log_line(line, redactor)}\n" for line in answer.get("lines") or ())
        elif verb == "events":
            events = (redactor.clean_within(item) for item in answer.get("events") or ())
            files["events.jsonl"] = "".join(json.dumps(item) + "\n" for item in events)
        else:
            cleaned = redactor.clean_within(answer)
            files[f"{verb}.json"] = json.dumps(cleaned, indent=2, sort_keys=True, default=str) + "\n"
    files["host.txt"] = _host()
    files["settings.txt"] = _tried(_settings)
    if missing:
        files["missing.json"] = json.dumps(missing, indent=2) + "\n"
    return files


def _log_line(line: str, redactor: Redactor) -> str:
    """A line of JSON is taken apart for cleaning; any other is cleaned as text later."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return line
    return json.dumps(redactor.clean_within(fields)) if isinstance(fields, dict) else line


def _host() -> str:
    uname = platform.uname()
    parts = [
        f"ostiary {SOFTWARE}, Python {platform.python_version()}, {uname.system} {uname.release} {uname.machine}\n",
        f"uid {os.geteuid()}, groups {sorted(os.getgroups())}\n",
        f"made {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n",
    ]
    for name in _HOST_FILES:
        text = _tried(partial(_read, Path(name), _READABLE.get(name, str)))
        parts.append(f"\n== {name}\n{text}")
    return "".join(parts)


def _settings() -> str:
    """The client's settings with their origin; the daemon may have been started with others."""
    from client.daemon.settings import load_settings
    from runtime.settings import describe

    rows = describe(load_settings(config_file=None, overrides={}))
    return "".join(f"{key} = {value}   # {origin}\n" for key, value, origin in rows)


def _forwards() -> tuple[str, ...]:
    """Those of the settings; none when these cannot be read and so are not in the report."""
    from client.daemon.settings import load_settings

    try:
        return load_settings(config_file=None, overrides={}).forwards
    except (OSError, OstiaryError):
        return ()


def _tried(work: Callable[[], str]) -> str:
    try:
        return work()
    except (OSError, OstiaryError) as error:
        return f"cannot be read: {error}\n"


def _read(path: Path, readable: Callable[[str], str]) -> str:
    with path.open("rb") as file:
        return readable(file.read(FILE_MAX_BYTES).decode("utf-8", "replace"))


def _about(files: Mapping[str, str], redactor: Redactor, unknown: str, *, anonymise: bool) -> str:
    named = "names of resources, networks, connectors,\nrelays and the controller, and private addresses, too"
    names = named if anonymise else "nothing else"
    gap = f"Not known, and so not replaced: {unknown}. Why is in missing.json.\n" if unknown else ""
    return (
        "Made by `ostiary report`. Nothing was sent anywhere.\n\n"
        "Taken out or replaced by numbers: tokens, keys and other secrets; people's names and e-mail addresses; this\n"
        f"host's name; public addresses, IPv6 link-local ones and hardware addresses; {names}.\n{gap}"
        f"Replaced: {_counted(dict(sorted(redactor.counts.items())))}.\n\nFiles: {', '.join(sorted(files))}\n"
    )


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {kind}" for kind, count in counts.items()) or "nothing"


def _free_path(output: str | None) -> Path:
    """Returns where to write to. Raises LocalError before anything is collected when that cannot be."""
    path = Path(output) if output is not None else Path(f"{_name()}.tar.gz")
    if not path.parent.is_dir():
        raise AdviceError(Reason.INVALID_INPUT, f"{path.parent} is no folder", next_step="Name another one with -o.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        detail = f"{path.parent} is not yours to write into"
        raise AdviceError(Reason.PERMISSION_DENIED, detail, next_step="Name another folder with -o.")
    if os.path.lexists(path):
        raise LocalError(Reason.ALREADY_EXISTS, str(path))
    return path


def _name() -> str:
    return f"ostiary-report-{time.strftime('%Y%m%d-%H%M%S')}"


def _write(files: Mapping[str, str], path: Path) -> None:
    """Writes the archive, for its owner alone. Raises LocalError."""
    name = _name()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for member, text in sorted(files.items()):
            data = text.encode()
            info = tarfile.TarInfo(f"{name}/{member}")
            info.size, info.mtime, info.mode = len(data), int(time.time()), 0o600
            archive.addfile(info, io.BytesIO(data))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(packed.getvalue())
    except FileExistsError as exc:
        raise LocalError(Reason.ALREADY_EXISTS, str(path)) from exc
    except OSError as exc:
        raise LocalError(Reason.INVALID_INPUT, f"{path}: {exc.strerror}") from exc
