"""`ostiary`: the user's commands and, below `ostiary admin`, the administrator's.

Typer builds a pydantic model per parameter, which takes a third of a second. The commands that people and scripts run all
day are therefore recognised here when they are spelt plainly, and never load it; everything else (help, mistakes, the other
commands) goes to ``client.cli.commands``, which declares these commands too and does the same.
"""

import sys
from collections.abc import Sequence
from typing import Final

_TRANSPORT_FLAGS: Final = {"--udp": "udp", "--icmp": "icmp"}


def main() -> None:
    """The console script."""
    arguments = sys.argv[1:]
    try:
        code = run_plain(arguments)
        if code is None and arguments[:1] == ["admin"]:
            from client.cli import admin

            admin.build(arguments[1:])(arguments[1:], prog_name="ostiary admin")
        elif code is None:
            from client.cli.commands import app

            app(arguments, prog_name="ostiary")
    except BrokenPipeError:
        # The reader (head, less) has what it wanted.
        sys.stderr.close()
        code = 0
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code)


def run_plain(arguments: Sequence[str]) -> int | None:
    """Runs a plainly spelt everyday command and returns its exit code; None when it is for typer."""
    if not arguments:
        return None
    verb, *rest = arguments
    as_json = "--json" in rest
    rest = [item for item in rest if item != "--json"]
    flags, words = {item for item in rest if item.startswith("-")}, [item for item in rest if not item.startswith("-")]
    if verb == "explain" and len(words) == 1 and len(flags) <= 1 and flags <= _TRANSPORT_FLAGS.keys():
        from client.cli import user

        return user.explain(words[0], _TRANSPORT_FLAGS[flags.pop()] if flags else "tcp", as_json=as_json)
    if verb == "status" and not words and flags <= {"--watch"}:
        from client.cli import user

        return user.status(as_json=as_json, watch=bool(flags), check=None)
    if verb == "status" and rest in (["--check", "live"], ["--check", "ready"]):
        from client.cli import user

        return user.status(as_json=as_json, watch=False, check=words[0])
    if verb == "resources" and not words and flags <= {"--names"}:
        from client.cli import user

        return user.resources(as_json=as_json, names=bool(flags))
    return _run_check(verb, words, flags, as_json=as_json)


def _run_check(verb: str, words: list[str], flags: set[str], *, as_json: bool) -> int | None:
    """The same for the commands that look closer."""
    if verb == "ping" and len(words) == 1 and flags <= {"--udp"}:
        from client.cli import checking

        return checking.ping(words[0], count=1, udp=bool(flags), as_json=as_json)
    if verb == "events" and not words and flags <= {"-f", "--follow", "--trouble"}:
        from client.cli import watching

        follow = bool(flags & {"-f", "--follow"})
        return watching.events(watching.LINES, follow=follow, trouble="--trouble" in flags, as_json=as_json)
    if verb in ("doctor", "down", "version") and not words and not flags:
        from client.cli import user

        match verb:
            case "doctor":
                return user.doctor(as_json=as_json)
            case "down":
                return user.down(as_json=as_json)
        return user.version(as_json=as_json)
    return None


if __name__ == "__main__":
    main()
