"""The user's commands as people and scripts spell them, read without typer.

Typer and the models that it builds for each parameter take a third of a second. What is spelt plainly is therefore read
here; everything else (mistakes, abbreviations, repeated options) is left to typer, which declares the same commands in
``client.cli.commands`` and does the same. What a command does is imported when it is run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final


class NotPlainError(Exception):
    """It is for typer to say what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What stood behind the verb. ``values`` has every option of the verb that takes one."""

    words: tuple[str, ...]
    flags: frozenset[str]
    values: Mapping[str, str | None]

    @property
    def as_json(self) -> bool:
        """Whether ``--json`` was among it."""
        return "--json" in self.flags

    def has(self, flag: str) -> bool:
        """Whether ``flag`` was among it."""
        return flag in self.flags

    def word(self, index: int) -> str | None:
        """Returns the argument at ``index``; None when there are fewer."""
        return self.words[index] if index < len(self.words) else None

    def value(self, option: str) -> str:
        """Returns what ``option`` is, given or by default. Raises NotPlainError when it is neither."""
        value = self.values[option]
        if value is None:
            raise NotPlainError
        return value

    def number(self, text: str, lowest: int, highest: int) -> int:
        """Returns ``text`` as a number in these bounds. Raises NotPlainError."""
        if not (text.isascii() and text.isdigit() and len(text) < 10 and lowest <= int(text) <= highest):
            raise NotPlainError
        return int(text)


@dataclass(frozen=True, slots=True)
class Plain:
    """How one verb may be spelt.

    ``words`` is the least and the most number of arguments, ``values`` the options that take a value, with their defaults:
    those that typer declares.
    """

    run: Callable[[Found], int]
    words: tuple[int, int] = (0, 0)
    flags: frozenset[str] = frozenset()
    values: Mapping[str, str | None] = field(default_factory=dict)
    aliases: Mapping[str, str] | None = None


def read(spelling: Plain, arguments: Sequence[str]) -> Found:
    """Takes the arguments behind the verb apart. Raises NotPlainError."""
    words: list[str] = []
    flags: set[str] = set()
    values: dict[str, str] = {}
    rest = iter(arguments)
    for item in rest:
        if not item.startswith("-"):
            words.append(item)
            continue
        name, equals, value = item.partition("=")
        name = (spelling.aliases or {}).get(name, name)
        if name in spelling.values and name not in values:
            # `-n=5` is "=5" to typer; only long options take a value this way.
            if equals and not item.startswith("--"):
                raise NotPlainError
            value = value if equals else next(rest, "")
            if not value or (value.startswith("-") and value != "-"):
                raise NotPlainError
            values[name] = value
        elif not equals and (name == "--json" or name in spelling.flags):
            flags.add(name)
        else:
            raise NotPlainError
    least, most = spelling.words
    if not least <= len(words) <= most:
        raise NotPlainError
    return Found(tuple(words), frozenset(flags), {**spelling.values, **values})


def run(arguments: Sequence[str]) -> int | None:
    """Runs a plainly spelt command and returns its exit code; None when it is for typer."""
    for length in (2, 1):
        spelling = VERBS.get(" ".join(arguments[:length]))
        if spelling is not None and len(arguments) >= length:
            try:
                return spelling.run(read(spelling, arguments[length:]))
            except NotPlainError:
                return None
    return None


def _up(found: Found) -> int:
    from client.cli import sign_in

    return sign_in.up(
        found.word(0),
        ca_pin=found.values["--ca-pin"],
        token_file=found.values["--token-file"],
        timeout=found.value("--timeout"),
        browser=not found.has("--no-browser"),
        qr=found.has("--qr"),
        as_json=found.as_json,
    )


def _login(found: Found) -> int:
    from client.cli import sign_in

    return sign_in.up(
        None,
        ca_pin=None,
        token_file=None,
        timeout=found.value("--timeout"),
        browser=not found.has("--no-browser"),
        qr=found.has("--qr"),
        as_json=found.as_json,
        verb="login",
    )


def _auth(found: Found) -> int:
    from client.cli import auth

    return auth.auth(
        check=found.has("--check"),
        within=found.values["--within"],
        timeout=found.value("--timeout"),
        browser=not found.has("--no-browser"),
        as_json=found.as_json,
    )


def _down(found: Found) -> int:
    from client.cli import user

    return user.down(as_json=found.as_json)


def _logout(found: Found) -> int:
    from client.cli import user

    return user.logout(as_json=found.as_json)


def _status(found: Found) -> int:
    from client.cli import user

    check = found.values["--check"]
    if check not in (None, "live", "ready"):
        raise NotPlainError
    return user.status(as_json=found.as_json, watch=found.has("--watch"), check=check)


def _resources(found: Found) -> int:
    from client.cli import user

    return user.resources(as_json=found.as_json, names=found.has("--names"))


def _explain(found: Found) -> int:
    from client.cli import user

    if found.has("--udp") and found.has("--icmp"):
        raise NotPlainError
    transport = "udp" if found.has("--udp") else "icmp" if found.has("--icmp") else "tcp"
    return user.explain(found.words[0], transport, as_json=found.as_json)


def _request(found: Found) -> int:
    from client.cli import asking

    return asking.request(
        found.words[0],
        found.value("--reason"),
        duration=found.values["--for"],
        wait=found.has("--wait"),
        timeout=found.value("--timeout"),
        as_json=found.as_json,
    )


def _requests(found: Found) -> int:
    from client.cli import asking

    return asking.requests(withdraw=found.values["--withdraw"], as_json=found.as_json)


def _doctor(found: Found) -> int:
    from client.cli import user

    return user.doctor(as_json=found.as_json)


def _logs(found: Found) -> int:
    from client.cli import user

    count = found.number(found.value("--lines"), 0, 10_000)
    return user.logs(count, follow=found.has("--follow"), as_json=found.as_json)


def _version(found: Found) -> int:
    from client.cli import user

    return user.version(as_json=found.as_json)


def _ping(found: Found) -> int:
    from client.cli import checking

    count = found.number(found.value("--count"), 1, 1000)
    return checking.ping(found.words[0], count=count, udp=found.has("--udp"), as_json=found.as_json)


def _wait(found: Found) -> int:
    from client.cli import checking

    what = found.value("--for")
    if what not in ("live", "ready", "resource"):
        raise NotPlainError
    return checking.wait(what, found.word(0), timeout=found.value("--timeout"), as_json=found.as_json)


def _events(found: Found) -> int:
    from client.cli import watching

    count = found.number(found.value("--lines"), 0, 1000)
    follow, trouble = found.has("--follow"), found.has("--trouble")
    return watching.events(count, follow=follow, trouble=trouble, as_json=found.as_json)


def _netcheck(found: Found) -> int:
    from client.cli import checking

    return checking.netcheck(found.word(0), as_json=found.as_json)


def _report(found: Found) -> int:
    from client.cli import bundle

    return bundle.report(found.values["--output"], anonymise=found.has("--anonymise"), as_json=found.as_json)


def _set(found: Found) -> int:
    from client.cli import preferences

    return preferences.put(found.words[0], as_json=found.as_json)


def _get(found: Found) -> int:
    from client.cli import preferences

    return preferences.get(found.word(0), as_json=found.as_json)


def _accounts(found: Found) -> int:
    from client.cli import accounts

    return accounts.accounts(as_json=found.as_json)


def _switch(found: Found) -> int:
    from client.cli import accounts

    new, remove = found.has("--new"), found.has("--remove")
    if new and remove:
        raise NotPlainError
    return accounts.switch(found.words[0], new=new, remove=remove, as_json=found.as_json)


def _forward(found: Found) -> int:
    from client.cli import forward

    listen = found.number(found.word(1) or "0", 0, 65_535)
    return forward.forward(found.words[0], listen, as_json=found.as_json)


def _dns_status(found: Found) -> int:
    from client.cli import dns

    return dns.status(as_json=found.as_json)


def _dns_query(found: Found) -> int:
    from client.cli import dns

    return dns.query(found.words[0], found.value("--type"), as_json=found.as_json)


def _dns_reset(found: Found) -> int:
    from client.cli import dns

    return dns.reset(forget=found.has("--forget"), as_json=found.as_json)


def _service_status(found: Found) -> int:
    from runtime import service_verbs

    return service_verbs.status("client", as_json=found.as_json)


def _of(*names: str) -> frozenset[str]:
    return frozenset(names)


VERBS: Final[Mapping[str, Plain]] = {
    "up": Plain(_up, (0, 1), _of("--no-browser", "--qr"), {"--ca-pin": None, "--token-file": None, "--timeout": "10m"}),
    "login": Plain(_login, (0, 0), _of("--no-browser", "--qr"), {"--timeout": "10m"}),
    "auth": Plain(_auth, (0, 0), _of("--check", "--no-browser"), {"--within": None, "--timeout": "10m"}),
    "down": Plain(_down),
    "logout": Plain(_logout),
    "status": Plain(_status, (0, 0), _of("--watch"), {"--check": None}),
    "resources": Plain(_resources, (0, 0), _of("--names")),
    "explain": Plain(_explain, (1, 1), _of("--udp", "--icmp")),
    "request": Plain(_request, (1, 1), _of("--wait"), {"--reason": None, "--for": None, "--timeout": "1h"}),
    "requests": Plain(_requests, (0, 0), _of(), {"--withdraw": None}),
    "doctor": Plain(_doctor),
    "logs": Plain(_logs, (0, 0), _of("--follow"), {"--lines": "50"}, {"-f": "--follow", "-n": "--lines"}),
    "version": Plain(_version),
    "ping": Plain(_ping, (1, 1), _of("--udp"), {"--count": "1"}, {"-c": "--count"}),
    "wait": Plain(_wait, (0, 1), _of(), {"--for": "ready", "--timeout": "60s"}),
    "events": Plain(
        _events, (0, 0), _of("--follow", "--trouble"), {"--lines": "20"}, {"-f": "--follow", "-n": "--lines"}
    ),
    "netcheck": Plain(_netcheck, (0, 1)),
    "report": Plain(_report, (0, 0), _of("--anonymise"), {"--output": None}, {"-o": "--output"}),
    "set": Plain(_set, (1, 1)),
    "get": Plain(_get, (0, 1)),
    "accounts": Plain(_accounts),
    "switch": Plain(_switch, (1, 1), _of("--new", "--remove")),
    "forward": Plain(_forward, (1, 2)),
    "dns status": Plain(_dns_status),
    "dns query": Plain(_dns_query, (1, 1), _of(), {"--type": "A"}, {"-t": "--type"}),
    "dns reset": Plain(_dns_reset, (0, 0), _of("--forget")),
    "service status": Plain(_service_status),
}
"""By verb. `notify`, `completion`, `service install` and `admin` are typer's alone."""
