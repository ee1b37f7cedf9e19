"""Rules whose breach is a vulnerability (T-23, T-29, T-34, T-59), read from the syntax trees."""

import ast
import re

import pytest
from sources import DRIVERS, PACKAGES, calls, dotted, modules, nodes_of, of_each, tree_of

SOURCES = modules(*PACKAGES)

# --- T-23: secrets are compared in constant time ---------------------------------------------------------------------

_SECRET = re.compile(r"(?:\A|_)(?:secret|mac|hmac|pin|digest|signature|password|token_hash|secret_hash)(?:\Z|_)")
_COMPARISONS = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
_SECURITY_MODULES = re.compile(
    r"protocol/(?:tls|pop|enrolment)\.py|protocol/tokens/|controller/identity/|controller/agents/|controller/api/"
    r"|controller/store/(?:credentials|enrolments|device_codes|web_sessions|secrets)\.py"
    r"|relay/|connector/|runtime/(?:trust|http|status_socket)\.py"
)

# Comparisons of public values that carry such a name. Each line: module, then the comparison as ``ast.unparse`` says it.
PUBLIC_COMPARISONS: frozenset[tuple[str, str]] = frozenset(
    {
        # Whether our own key file and our own certificate file belong together.
        ("protocol/tls.py", "pin != pin_of(key.public_key())"),
    }
)


def _last_name(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=func):
            return _last_name(func)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Subscript(value=value) | ast.Await(value=value):
            return _last_name(value)
    return ""


def _is_harmless(node: ast.AST) -> bool:
    """An enum member, a literal (None, "", a kind) or a length says nothing about a secret's bytes."""
    match node:
        case ast.Constant():
            return True
        case ast.Attribute(value=value) if dotted(value)[:1].isupper():
            return True
        case ast.Call(func=ast.Name(id="len")):
            return True
    return False


def _compared_secrets(tree: ast.AST) -> list[ast.Compare]:
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            if not isinstance(operator, _COMPARISONS) or _is_harmless(left) or _is_harmless(right):
                continue
            if any(_SECRET.search(_last_name(side).lower()) for side in (left, right)):
                found.append(node)
    return found


@of_each([module for module in SOURCES if _SECURITY_MODULES.match(module)])
def test_t23_secrets_are_compared_in_constant_time(module: str) -> None:
    for node in _compared_secrets(tree_of(module)):
        said = ast.unparse(node)
        assert (module, said) in PUBLIC_COMPARISONS, f"{module}:{node.lineno} `{said}`: use hmac.compare_digest"


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("a.secret == b", 1),
        ("digest(x) != y", 1),
        ("row['pin'] == pin", 1),
        ("pin in pins", 1),
        ("hmac.compare_digest(mac, other)", 0),
        ("secret is None", 0),
        ("kind == Kind.PIN", 0),
        ("len(signature) != 64", 0),
        ("signature == b''", 0),
        ("pinned == other", 0),
        ("mapping == other", 0),
    ],
)
def test_t23_check_sees_what_it_should(code: str, count: int) -> None:
    assert len(_compared_secrets(ast.parse(code))) == count


def test_t23_exceptions_are_still_there() -> None:
    real = {(module, ast.unparse(node)) for module in SOURCES for node in _compared_secrets(tree_of(module))}
    assert real >= PUBLIC_COMPARISONS


# --- T-29: the relay never dials -------------------------------------------------------------------------------------

_DIALS = re.compile(
    r"(?:\A|[._])(?:connect|connect_ex|create_connection|create_datagram_endpoint|create_unix_connection|open_connection"
    r"|open_unix_connection|sock_connect|sendto|urlopen|dial\w*|request_json|fetch_ca)\Z"
)
_RELAY_MAY_CALL = {
    # Enrolment, a command that a person runs: it talks to the controller once, through ``runtime.http``.
    "relay/cli.py": {"request_json", "http.request_json", "fetch_ca", "trust.fetch_ca"},
    "relay/enrol.py": {"request_json", "http.request_json", "fetch_ca", "trust.fetch_ca"},
    # An input of the pure registry: a client's request to be paired. ``relay.core`` may not import sockets.
    "relay/server.py": {"self._registry.connect"},
}
"""What looks like dialling and is permitted, by module and dotted name."""
_DIALLING_MODULES = re.compile(
    r"(?:http\.client|urllib|aiohttp|httpx|requests|runtime\.(?:agent_link|leg_client))(?:\Z|\.)"
)


@of_each(modules("relay"))
def test_t29_relay_never_dials(module: str) -> None:
    for call, called in calls(module):
        if _DIALS.search(called):
            permitted = called in _RELAY_MAY_CALL.get(module, set())
            assert permitted, f"{module}:{call.lineno} calls {called}: the relay never dials"
    for node in nodes_of(module):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            assert not any(alias.name.startswith("dial") for alias in node.names), f"{module} imports a dialler"
        assert not any(_DIALLING_MODULES.match(name) for name in names), f"{module} imports {names}"


@pytest.mark.parametrize(
    ("name", "dials"),
    [
        ("loop.create_connection", True),
        ("asyncio.open_connection", True),
        ("sock.connect", True),
        ("dial_leg", True),
        ("leg.dial", True),
        ("registry.connected", False),
        ("handle_connect_request", False),
        ("loop.create_server", False),
    ],
)
def test_t29_check_sees_what_it_should(name: str, dials: bool) -> None:
    assert bool(_DIALS.search(name)) is dials


# --- T-41, T-59: programs are run by absolute path, without a shell --------------------------------------------------

_RUNS = re.compile(r"(?:\A|\.)(?:subprocess\.)?(?:run|Popen|call|check_call|check_output)\Z")
_SHELLS = re.compile(
    r"(?:\A|\.)(?:os\.system|os\.popen|create_subprocess_shell|getoutput|getstatusoutput|os\.exec[lv]p\w*|os\.spawn\w+)\Z"
)


def _subprocess_calls(module: str) -> list[tuple[ast.Call, str]]:
    """Calls into ``subprocess`` and its asyncio counterpart, however they were imported."""
    direct = {
        alias.asname or alias.name
        for node in nodes_of(module)
        if isinstance(node, ast.ImportFrom) and node.module == "subprocess"
        for alias in node.names
    }
    found = []
    for node, name in calls(module):
        by_module = name.startswith("subprocess.") and _RUNS.search(name)
        if by_module or (name in direct and _RUNS.search(name)) or name.endswith("create_subprocess_exec"):
            found.append((node, name))
    return found


def _constants(module: str) -> dict[str, ast.expr]:
    """Module-level constants by name."""
    values: dict[str, ast.expr] = {}
    for node in tree_of(module).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                values[name] = value
    return values


def _is_absolute(node: ast.AST, known: dict[str, ast.expr]) -> bool:
    """Tells whether the program is an absolute path fixed in the source (or this interpreter itself)."""
    match node:
        case ast.Constant(value=str(path)):
            return path.startswith("/")
        case ast.Name(id=name) if name in known:
            return _is_absolute(known[name], {})
        case ast.List(elts=[first, *_]) | ast.Tuple(elts=[first, *_]):
            return _is_absolute(first, known)
        case ast.Starred(value=value):
            return _is_absolute(value, known)
        case ast.BinOp(left=left, op=ast.Add()):
            return _is_absolute(left, known)
        case ast.Call(func=ast.Name(id="str"), args=[inner]):
            return _is_absolute(inner, known)
        case ast.Call(func=ast.Name(id="Path"), args=[inner]):
            return _is_absolute(inner, known)
    return dotted(node) == "sys.executable"


@of_each(SOURCES)
def test_t59_programs_run_by_absolute_path(module: str) -> None:
    for node, name in _subprocess_calls(module):
        place = f"{module}:{node.lineno} {name}"
        assert node.args, f"{place}: give the arguments as a list"
        assert _is_absolute(node.args[0], _constants(module)), f"{place}: the program must be an absolute path constant"
        if not name.endswith("create_subprocess_exec"):
            assert not isinstance(node.args[0], ast.Constant), f"{place}: give a list, not a string"


@of_each([*SOURCES, *modules(*DRIVERS)])
def test_t41_no_shell(module: str) -> None:
    for node, name in calls(module):
        assert not _SHELLS.search(name), f"{module}:{node.lineno} {name} starts a shell or searches PATH"
        for keyword in node.keywords:
            shell = keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
            assert not shell, f"{module}:{node.lineno} {name}(shell=...)"


# --- others ----------------------------------------------------------------------------------------------------------


@of_each(SOURCES)
def test_t34_builtin_idna_codec_is_banned(module: str) -> None:
    for node, name in calls(module):
        used = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        if name.endswith((".encode", ".decode")) or name in ("str", "bytes"):
            assert not {"idna", "punycode"} & set(map(str, used)), f"{module}:{node.lineno}: use protocol.acl.names"


@of_each([*SOURCES, *modules("migrations")])
def test_nothing_is_unpickled_or_evaluated(module: str) -> None:
    for node, name in calls(module):
        banned = name in ("eval", "exec", "compile", "__import__") or name.partition(".")[0] in (
            "pickle",
            "marshal",
            "shelve",
        )
        assert not banned, f"{module}:{node.lineno} {name}"


@of_each([module for module in SOURCES if module != "protocol/tokens/jws.py"])
def test_only_one_module_knows_jwt(module: str) -> None:
    for node in nodes_of(module):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        assert "jwt" not in {name.partition(".")[0] for name in names}, f"{module} imports jwt"


@of_each([module for module in SOURCES if module != "runtime/tasks.py"])
def test_every_task_has_an_owner(module: str) -> None:
    for node, name in calls(module):
        assert not name.endswith((".create_task", ".ensure_future")), f"{module}:{node.lineno}: use runtime.tasks"
