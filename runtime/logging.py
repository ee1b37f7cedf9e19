"""Logging: structured, one event one line, no secrets (T-11, T-74).

Shells use ``structlog.get_logger(__name__)``; cores do not log. Levels by consequence: error = the daemon cannot go on;
warning = wake somebody; info = lifecycle; debug = may hold names and addresses.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

REDACTED: Final = "[redacted]"

_SECRET_KEY: Final = re.compile(
    r"(?:\A|_)(?:token|ticket|secret|password|passphrase|authorization|assertion|cookie|credential|proof|signature"
    r"|private|key_pem|psk|exporter|device_code|user_code)(?:\Z|_(?:text|value|pem|file_text)\Z)",
    re.IGNORECASE,
)
_SECRET_VALUE: Final = re.compile(
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # a compact JWS
    r"|otk_[A-Za-z0-9_-]{8,}"  # an enrolment token
    r"|ost_(?:api_)?[A-Za-z0-9_-]{40,}"  # a session's or an API token's secret
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
    r"|(?i:bearer) [A-Za-z0-9._~+/=-]{8,}"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DEPTH_MAX: Final = 6


def configure(component: str, level: str = "info", json: bool | None = None, *, stream: TextIO | None = None) -> None:
    """Sets up structlog and the standard library's loggers for this process.

    Args:
        component: goes into each line.
        level: debug, info, warning or error.
        json: JSON lines; None means "unless stderr is a terminal".
        stream: stderr by default.
    """
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _add_component(component),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
    )
    tail: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact]
    if not as_json:
        tail.append(_escape)
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*tail, renderer])
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    # Their debug lines hold whole frames, requests and the parameters of SQL statements.
    for noisy in ("websockets", "asyncio", "httpx", "uvicorn.access", "sqlalchemy.engine", "aiosqlite", "psycopg"):
        logging.getLogger(noisy).setLevel(max(number, logging.WARNING if noisy != "asyncio" else number))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor that removes secrets, by key and by the look of the value (T-11)."""
    return {key: _clean(key, value, 0) for key, value in event.items()}


def _clean(key: str, value: Any, depth: int) -> Any:
    if value is not None and not isinstance(value, bool | int | float) and _SECRET_KEY.search(key):
        return REDACTED
    if isinstance(value, str):
        return _SECRET_VALUE.sub(REDACTED, value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if depth >= _DEPTH_MAX:
        return "..."
    if isinstance(value, Mapping):
        return {str(name): _clean(str(name), item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(key, item, depth + 1) for item in value]
    if isinstance(value, BaseException):
        return _SECRET_VALUE.sub(REDACTED, str(value))
    return value


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Makes control characters visible, so that one event stays one line on a terminal too (T-74)."""
    return {
        key: _CONTROL.sub(_visible, value) if isinstance(value, str) and key not in {"exception", "stack"} else value
        for key, value in event.items()
    }


def _visible(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()


def _add_component(component: str) -> structlog.typing.Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["component"] = component
        return event

    return add
