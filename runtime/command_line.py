"""How the five commands are declared, so that they read as one: plain help, one form of errors, shared options.

Only modules that declare commands import this; it loads typer. What a command prints is in ``runtime.console``.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.console import INTERRUPTED, USAGE, AdviceError, complain, print_version, warn
from runtime.secret_input import STDIN, read_token

JsonOption = Annotated[bool, typer.Option("--json", help='Print one JSON object with "schema": 1.')]
StateOption = Annotated[
    Path | None, typer.Option("--state-dir", metavar="DIR", help="Directory of what must outlive a restart.")
]
RuntimeOption = Annotated[
    Path | None, typer.Option("--runtime-dir", metavar="DIR", help="Directory of the daemon's socket.")
]
LogLevelOption = Annotated[
    str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
]
LogFormatOption = Annotated[
    bool | None,
    typer.Option("--log-json/--log-text", help="Format of the log on stderr. Default: text on a terminal."),
]
ReadyOption = Annotated[
    bool, typer.Option("--ready/--live", help="--ready: does it do its work? --live: does the process answer?")
]
TokenArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="TOKEN", help="The token itself (others see it in `ps`: prefer --token-file), or - for stdin."
    ),
]
TokenFileOption = Annotated[
    str | None, typer.Option("--token-file", metavar="FILE", help="File with the enrolment token; - reads stdin.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing enrolment, for example to renew it.")]

_SENTENCE_MAX: Final = 200
_WORDING: Final = (
    (re.compile(r"Value error, "), ""),
    (re.compile(r"Input should be (.*?)(?:, unable to parse .*)?$"), r"it should be \1"),
    (re.compile(r"\ba valid integer\b"), "a whole number"),
    (re.compile(r"\ba valid number\b"), "a number"),
)
"""What the library under typer calls things, and what people do."""


class _Group(TyperGroup):
    """Tells wrong usage in the form of every other error."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        try:
            result = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except TyperException as error:
            context = getattr(error, "ctx", None)
            complain(
                _readable(error.format_message()),
                f"See `{context.command_path} --help`." if context is not None else "",
            )
            sys.exit(USAGE)
        except typer.Abort:
            sys.exit(INTERRUPTED)
        sys.exit(result if isinstance(result, int) else 0)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Shows each command's whole sentence; typer would cut it at the end of the line."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(_SENTENCE_MAX))
            for name, command in found
            if command and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            ctx.exit(USAGE)
        return super().parse_args(ctx, args)


def _readable(message: str) -> str:
    """Returns a message of typer's on one line and in plain words."""
    text = " ".join(message.split())
    for found, said in _WORDING:
        text = found.sub(said, text)
    return text


def command_group(
    help_text: str, *, name: str | None = None, epilog: str = "", without_verb: bool = False
) -> typer.Typer:
    """Returns an application, or a group of commands within one.

    Args:
        help_text: what it is for.
        name: the command's name.
        epilog: what stands below the list of commands.
        without_verb: it does something when no command is named, instead of printing its help.
    """
    return typer.Typer(
        name=name,
        cls=_Group,
        help=help_text,
        epilog=epilog,
        add_completion=False,
        no_args_is_help=not without_verb,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def version_option(command: str) -> Any:
    """Returns ``--version`` of ``command``."""

    def print_and_leave(wanted: bool) -> None:
        if wanted:
            print_version(command)
            raise typer.Exit

    return typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=print_and_leave)


def config_option(component: str) -> Any:
    """Returns ``--config`` of ``component``."""
    return typer.Option("--config", metavar="FILE", help=f"TOML file instead of /etc/ostiary/{component}.toml.")


def enrolment_token(token: str | None, token_file: str | None) -> str:
    """Returns what a person pasted. Raises LocalError(INVALID_INPUT), and what reading a file raises."""
    if (token is None) == (token_file is None):
        raise LocalError(
            Reason.INVALID_INPUT, "give the enrolment token, or --token-file FILE (- is stdin), and not both"
        )
    if token is None or token == STDIN:
        return read_token(token_file or STDIN)
    warn("a token on the command line is visible to others in `ps` and stays in the shell's history")
    return token


def not_running(component: str, detail: str) -> AdviceError:
    """Returns the error of a command that finds nobody to ask."""
    return AdviceError(
        Reason.DAEMON_NOT_RUNNING,
        detail,
        sentence=f"The {component} is not running.",
        next_step=f"Start it: `sudo ostiary-{component} {'serve' if component == 'controller' else 'run'}`, or its service.",
    )


def ask_daemon(
    component: str,
    path: Path,
    verb: str,
    args: Mapping[str, Any] | None = None,
    *,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Asks the daemon behind the status socket ``path``. Raises LocalError, RefusedError, RemoteProtocolError."""
    from runtime.lifecycle import run_command
    from runtime.status_socket import call

    try:
        return run_command(call(path, verb, args, on_event=on_event))
    except LocalError as error:
        if error.reason is not Reason.DAEMON_NOT_RUNNING:
            raise
        raise not_running(component, error.detail) from error
