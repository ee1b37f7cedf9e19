"""Settings: one frozen dataclass per component, filled once at start, errors that point at the key.

Precedence: flag > environment (``OSTIARY_<FIELD>``; for secrets also ``OSTIARY_<FIELD>_FILE``) > TOML file
(``/etc/ostiary/<component>.toml``) > default. A misspelt key or variable is an error, never silently ignored.

Field types: str, int, float, bool, Path, tuple[str, ...], and ``X | None`` of these. Field metadata: ``help`` (str),
``secret`` (bool), ``choices`` (tuple of str), ``min`` and ``max`` (numbers).
"""

import dataclasses
import difflib
import os
import tomllib
import types
import typing
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import read_limited

T = TypeVar("T")

CONFIG_DIR: Final = Path("/etc/ostiary")
ENV_PREFIX: Final = "OSTIARY_"
MASK: Final = "********"
_FILE_LIMIT: Final = 64 * 1024

KNOWN_COMPONENTS: Final[dict[str, frozenset[str]]] = {
    "every": frozenset({"CONFIG", "LOG_LEVEL", "LOG_JSON", "STATE_DIR", "RUNTIME_DIR", "METRICS_LISTEN"}),
    "connector": frozenset(
        {
            "RESOLVERS",
            "PARKED_LEGS",
            "DRAIN_S",
            "KEY_ROTATION_DAYS",
            "UPSTREAM_PROXY",
            "UPSTREAM_PROXY_LOGIN_FILE",
            "UDP_IDLE_S",
            "DIRECT_LISTEN",
            "DIRECT_ADDRESSES",
        }
    ),
    "client": frozenset(
        {
            "SOCKET",
            "MODE",
            "POOL_V4",
            "POOL_V6",
            "MTU",
            "PROXY_LISTEN",
            "UPSTREAM_PROXY",
            "UPSTREAM_PROXY_LOGIN_FILE",
            "GROUP",
            "GUARD",
            "FORWARDS",
            "STRICT_DNS",
            "UDP_IDLE_S",
        }
    ),
    "admin": frozenset({"ADMIN_URL", "ADMIN_TOKEN", "ADMIN_CA_FILE"}),
    "relay": frozenset(
        {"LISTEN_HOST", "LISTEN_PORT", "CONNECTIONS_MAX", "CONNECTIONS_PER_ADDRESS", "DRAIN_S", "SPLICE"}
    ),
    "controller": frozenset(
        {
            "DATABASE_URL",
            "PUBLIC_URL",
            "EXTRA_HOSTNAMES",
            "AGENT_URLS",
            "LISTEN_HOST",
            "LISTEN_PORT",
            "TLS",
            "TLS_CERTIFICATE",
            "TLS_KEY",
            "TRUSTED_PROXIES",
            "CONNECTIONS_MAX",
            "CONNECTIONS_KEEP_DAYS",
            "CONNECTIONS_KEEP_ROWS",
            "SINKS_ON_LOOPBACK",
            "IDENTITY_PROVIDERS_ON_LOOPBACK",
            "IDENTITY_PROVIDER_CA",
            "SIGNING_KEY_DAYS",
            "SIGN_IN_DAYS",
            "ACCESS_TOKEN_S",
            "CONNECTOR_KEY_WAIT_S",
            "WORKERS",
            "SECRET_KEY",
        }
    ),
}
"""Which variables (without the prefix) each component reads, so that one shared environment file suits all of them.

The variables of the settings class that is being loaded are always known; an entry here only makes the other components
tolerate them. A test compares this table with the settings classes.
"""

_origins: deque[tuple[object, dict[str, str]]] = deque(maxlen=16)


def load(
    cls: type[T],
    *,
    component: str,
    config_file: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> T:
    """Builds the settings of ``component``.

    Args:
        cls: a frozen dataclass.
        component: names the default file, ``/etc/ostiary/<component>.toml``.
        config_file: an explicit file, which then must exist; ``OSTIARY_CONFIG`` names one too.
        env: the environment; ``os.environ`` by default.
        overrides: values of flags; None means that the flag was not given.

    Raises:
        LocalError: CONFIG_INVALID; the detail names the key and where it came from.
    """
    environment = os.environ if env is None else env
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}

    path, named = _config_path(component, config_file, environment)
    if named or path.exists():
        for key, value in _read_toml(path).items():
            if key not in fields:
                raise _unknown(f"{path}: key {key!r}", key, fields)
            if fields[key].metadata.get("secret") and path.stat().st_mode & 0o077:
                raise _invalid(f"{path}: it holds the secret {key!r} and others may read it; chmod it to 600")
            values[key] = _from_toml(value, hints[key], f"{path}: {key}")
            origins[key] = str(path)

    for key, text, origin in _from_environment(fields, environment):
        values[key] = _from_text(text, hints[key], origin)
        origins[key] = origin

    for key, value in (overrides or {}).items():
        if key not in fields:
            raise LocalError(Reason.INTERNAL, f"flag for the unknown setting {key!r}")
        if value is not None:
            values[key] = value
            origins[key] = "flag"

    _check(fields, values, origins)
    try:
        settings = cls(**values)
    except (TypeError, ValueError) as exc:
        raise _invalid(f"{component}: {exc}") from exc
    _origins.append((settings, origins))
    return settings


def read_one(
    key: str,
    *,
    component: str,
    config_file: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> str | None:
    """Returns one setting for what must go on although others are wrong; None when nothing that can be read holds it."""
    environment = os.environ if env is None else env
    flag = (overrides or {}).get(key)
    if flag is not None:
        return str(flag)
    if environment.get(ENV_PREFIX + key.upper()):
        return environment[ENV_PREFIX + key.upper()]
    try:
        value = _read_toml(_config_path(component, config_file, environment)[0]).get(key)
    except (LocalError, OSError):
        return None
    return value if isinstance(value, str) and value else None


def describe(settings: object) -> list[tuple[str, str, str]]:
    """Returns ``(key, value, origin)`` of each setting in order; secrets are masked."""
    origins = next((known for loaded, known in _origins if loaded is settings), {})
    rows = []
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        if field.metadata.get("secret"):
            shown = MASK if value else ""
        elif isinstance(value, tuple):
            shown = ",".join(str(item) for item in value)
        else:
            shown = "" if value is None else str(value)
        rows.append((field.name, shown, origins.get(field.name, "default")))
    return rows


def _config_path(component: str, config_file: Path | None, environment: Mapping[str, str]) -> tuple[Path, bool]:
    """Returns the file and whether somebody named it; then it must exist."""
    if config_file is None and environment.get(ENV_PREFIX + "CONFIG"):
        config_file = Path(environment[ENV_PREFIX + "CONFIG"])
    return config_file or CONFIG_DIR / f"{component}.toml", config_file is not None


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(read_limited(path, _FILE_LIMIT).decode())
    except LocalError as exc:
        raise _invalid(exc.detail) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise _invalid(f"{path}: {exc}") from exc


def _from_environment(
    fields: Mapping[str, "dataclasses.Field[Any]"], environment: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    known = {name for names in KNOWN_COMPONENTS.values() for name in names} | {name.upper() for name in fields}
    found: dict[str, tuple[str, str, str]] = {}
    for variable in sorted(environment):
        if not variable.startswith(ENV_PREFIX):
            continue
        name = variable.removeprefix(ENV_PREFIX)
        key = name.lower()
        if key in fields:
            found.setdefault(key, (key, environment[variable], variable))
            continue
        base = name.removesuffix("_FILE")
        if base != name and base in known:
            field = fields.get(base.lower())
            if field is not None and field.metadata.get("secret"):
                found[base.lower()] = (base.lower(), _read_secret(Path(environment[variable]), variable), variable)
            continue
        if name not in known:
            raise _unknown(f"environment variable {variable}", variable, [ENV_PREFIX + item for item in known])
    return list(found.values())


def _read_secret(path: Path, variable: str) -> str:
    try:
        return read_limited(path, _FILE_LIMIT).decode().rstrip("\r\n")
    except (LocalError, UnicodeDecodeError) as exc:
        raise _invalid(f"{variable}: {exc}") from exc


def _split_optional(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [item for item in typing.get_args(hint) if item is not type(None)]
        return inner[0], True
    return hint, False


def _from_text(text: str, hint: Any, where: str) -> object:
    kind, optional = _split_optional(hint)
    if optional and text == "":
        return None
    if typing.get_origin(kind) is tuple:
        return tuple(item.strip() for item in text.split(",") if item.strip())
    if kind is bool:
        word = text.strip().lower()
        if word in {"1", "true", "yes", "on"}:
            return True
        if word in {"0", "false", "no", "off"}:
            return False
        raise _invalid(f"{where}: {text!r} is not true or false")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError as exc:
            raise _invalid(f"{where}: {text!r} is not a number") from exc
    return kind(text)


def _from_toml(value: object, hint: Any, where: str) -> object:
    kind, _ = _split_optional(hint)
    if typing.get_origin(kind) is tuple:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise _invalid(f"{where}: a list of strings is wanted")
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, kind):
        raise _invalid(f"{where}: {kind.__name__} is wanted, not {type(value).__name__}")
    return value


def _check(
    fields: Mapping[str, "dataclasses.Field[Any]"], values: Mapping[str, object], origins: Mapping[str, str]
) -> None:
    for key, value in values.items():
        metadata = fields[key].metadata
        where = f"{key} (from {origins[key]})"
        choices = metadata.get("choices")
        if choices and value not in choices:
            raise _invalid(f"{where}: {value!r} is not one of {', '.join(choices)}")
        if isinstance(value, int | float):
            low, high = metadata.get("min"), metadata.get("max")
            if (low is not None and value < low) or (high is not None and value > high):
                raise _invalid(f"{where}: {value} is not between {low} and {high}")
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise _invalid(f"{missing[0]} is missing: set {ENV_PREFIX}{missing[0].upper()} or the key {missing[0]!r}")


def _unknown(what: str, name: str, known: typing.Iterable[str]) -> LocalError:
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return _invalid(f"{what} is not known{hint}")


def _invalid(detail: str) -> LocalError:
    return LocalError(Reason.CONFIG_INVALID, detail)
