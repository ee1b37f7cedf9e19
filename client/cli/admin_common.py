"""What the administrator's commands share: a signed-in API, names for ids, confirmations, secrets from files.

Things are named as people name them; an id works everywhere too, and saves the look-up.
"""

import difflib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from client.cli.admin_output import Item, Output, show_one
from client.cli.admin_session import Api, Json, ProblemError, SignedIn, escape, load
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.console import FAILED, AdviceError, complain, error_object, exit_code, exit_on_error, print_json, say
from runtime.secret_input import ask_password, read_password

JsonOption = Annotated[bool, typer.Option("--json", help='Print JSON with "schema": 1; short for -o json.')]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print the result.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
TokenOutOption = Annotated[
    Path | None,
    typer.Option(
        "--token-out", metavar="FILE", help="Write the enrolment token into this file (0600), do not print it."
    ),
]
PasswordOption = Annotated[
    str | None, typer.Option("--password-file", metavar="FILE", help="File with the password; - reads standard input.")
]
NetworkOption = Annotated[str, typer.Option("--network", metavar="NETWORK", help="The remote network, by name or id.")]


@dataclass(frozen=True, slots=True)
class Noun:
    """A kind of thing: the word in the command, its path in the API, its ids' prefix, the member that names it."""

    word: str
    path: str
    prefix: str
    name: str = "name"

    def is_id(self, text: str) -> bool:
        """Tells whether ``text`` has the shape of an id of this kind."""
        return re.fullmatch(self.prefix + r"_[A-Za-z0-9_-]{22}", text) is not None


NETWORK: Final = Noun("network", "networks", "net")
CONNECTOR: Final = Noun("connector", "connectors", "con")
RELAY: Final = Noun("relay", "relays", "rel")
RESOURCE: Final = Noun("resource", "resources", "res")
USER: Final = Noun("user", "users", "usr", "email")
GROUP: Final = Noun("group", "groups", "grp")
DEVICE: Final = Noun("device", "devices", "dev")
SINK: Final = Noun("sink", "sinks", "snk")
SERVICE_ACCOUNT: Final = Noun("service-account", "service-accounts", "svc")
GRANT: Final = Noun("grant", "grants", "gra", "id")
POLICY: Final = Noun("policy", "policies", "pol")
EXCLUSION: Final = Noun("exclusion", "exclusions", "exc", "id")
IDENTITY_PROVIDER: Final = Noun("identity-provider", "identity-providers", "idp")
API_TOKEN: Final = Noun("api-token", "api-tokens", "apt")


def chosen(output: Output, *, as_json: bool) -> Output:
    """Returns the output that ``-o`` and ``--json`` together ask for."""
    return Output.JSON if as_json and output is Output.TABLE else output


@contextmanager
def exit_on_problem(output: Output = Output.TABLE) -> Iterator[None]:
    """Turns errors into two lines (or one JSON object) and an exit code. Never a traceback."""
    as_json = output is not Output.TABLE
    with exit_on_error(as_json=as_json):
        try:
            yield
        except ProblemError as error:
            _print_problem(error, as_json=as_json)
            raise SystemExit(exit_code(error.reason) or FAILED) from error


def _print_problem(error: ProblemError, *, as_json: bool) -> None:
    if as_json:
        body = {**error_object(error), "reason": error.code, "sentence": error.title, "next": error.next_step}
        print_json({"ok": False, "error": {**body, **({"field": error.field} if error.field else {})}})
    else:
        complain(str(error), error.next_step)


@contextmanager
def administrator(output: Output = Output.TABLE) -> Iterator[Api]:
    """Gives the API in the name of whoever signed in with `ostiary admin login`, or of the API token in the environment."""
    with exit_on_problem(output):
        signed_in = load()
        with Api(signed_in.url, signed_in.ca, signed_in.token, again=_again(signed_in, output)) as api:
            yield api


def _again(signed_in: SignedIn, output: Output) -> Callable[[], str] | None:
    """How to sign in anew within a command; None where nobody can, and for an API token, whose rights are its own."""
    person = signed_in.browser or signed_in.email != ""
    if output is not Output.TABLE or not person or not can_ask():
        return None

    def again() -> str:
        from client.cli.admin_again import sign_in_again

        return sign_in_again(signed_in)

    return again


def find(api: Api, noun: Noun, text: str) -> Json:
    """Returns the thing of this name or id.

    Raises:
        LocalError: NOT_FOUND naming what is similar; INVALID_INPUT when several have this name.
    """
    if noun.is_id(text):
        return api.get(f"{noun.path}/{text}")
    wanted = text.strip().casefold()
    found = [
        item
        for item in api.items(noun.path, {noun.name: text})
        if str(item.get(noun.name) or "").strip().casefold() == wanted
    ]
    if len(found) > 1:
        ids = ", ".join(str(item["id"]) for item in found[:5])
        raise LocalError(Reason.INVALID_INPUT, f"several {noun.word}s are called {text!r}; use the id: {ids}")
    if not found:
        names = [str(item[noun.name]) for item in api.items(noun.path) if item.get(noun.name)]
        close = difflib.get_close_matches(text, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        step = f"ostiary admin {noun.word} list"
        raise AdviceError(Reason.NOT_FOUND, f"no {noun.word} is called {text!r}{hint}", next_step=step)
    return found[0]


def resolve(api: Api, noun: Noun, text: str) -> str:
    """Returns the id of the thing of this name or id; an id is taken as it is."""
    return text if noun.is_id(text) else str(find(api, noun, text)["id"])


def names_of(api: Api, *nouns: Noun) -> dict[str, str]:
    """Returns the names of everything of these kinds by id, for lists that refer to them."""
    return {str(item["id"]): str(item.get(noun.name) or item["id"]) for noun in nouns for item in api.items(noun.path)}


def can_ask() -> bool:
    """Tells whether there is a person at a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Asks before something is destroyed.

    Raises:
        LocalError: INVALID_INPUT when nobody can be asked; CANCELLED when the answer is no.
    """
    if yes:
        return
    if not can_ask():
        raise AdviceError(Reason.INVALID_INPUT, f"{question} Nobody can be asked here.", next_step="Add --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise LocalError(Reason.CANCELLED, "nothing was changed")


def delete(api: Api, path: str, thing: str, output: Output, sentence: str) -> None:
    """Deletes ``path/thing`` and says so."""
    api.delete(f"{path}/{escape(thing)}")
    show_one({"id": thing, "deleted": True}, output, sentence=sentence)


def read_secret(source: str | None, prompt: str, *, twice: bool = False) -> str:
    """Reads a password from a file, from standard input for ``-``, or by asking for it without echo.

    Passwords never stand on the command line, which everybody on the host can see.
    """
    if source is not None:
        return read_password(source)
    return ask_password(prompt, twice=twice)


def show_enrolment(made: Json, output: Output, *, sentence: str, command: str, token_out: Path | None) -> None:
    """Prints what was created and its enrolment token, or writes the token into ``token_out``."""
    token = str(made.get("enrolment_token", ""))
    shown = dict(made)
    source = "-"
    if token_out is not None:
        from runtime.files import write_atomic

        write_atomic(token_out, token + "\n")
        shown.pop("enrolment_token", None)
        shown["enrolment_token_file"] = source = str(token_out)
    if output is not Output.TABLE:
        print_json(shown)
        return
    say(sentence)
    if token_out is None:
        say("Its enrolment token, shown this once:")
        _print_result(token)
    paste = "" if token_out is not None else "   (paste the token, then Enter)"
    say(f"next, on its host: {command} --token-file {source}{paste}")


def _print_result(line: str) -> None:
    from runtime.console import print_lines

    print_lines(line)


def by_subject(names: dict[str, str]) -> Any:
    """Returns a column's function: to whom something was given, as it is typed (``group:NAME``)."""

    def cell(item: Item) -> str:
        kind = str(item.get("subject_kind", "")).replace("_", "-")
        return f"{kind}:{names.get(str(item.get('subject')), item.get('subject'))}"

    return cell


def by_id(names: dict[str, str], member: str) -> Any:
    """Returns a column's function: the name of what ``member`` refers to."""

    def cell(item: Item) -> str:
        value = item.get(member)
        return names.get(str(value), str(value)) if value else "-"

    return cell
