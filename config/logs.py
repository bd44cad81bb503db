"""Log lines: structlog through the standard library, as JSON or for people, secrets redacted.

Each line carries `event` (area.verb), `level`, `at` (UTC), `process` and what is bound to the
context: `structlog.contextvars.bound_contextvars(request_id=..., machine=...)`, once per request
or message.
"""

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED: Final = "**********"

_TELLING: Final = re.compile(
    r"passw|passphrase|secret|token|authorization|cookie|credential|(private|api|session)_?key",
    re.IGNORECASE,
)
"""Names of fields whose values are never written."""

_IN_URL: Final = re.compile(
    r"(?<=://)[^/@\s]+(?=@)|(?<=/boot/)(?P<run>[^/\s]+)/[^/\s]+|(?<=[?&]g=)[^&\s\"']+"
)
"""User and password of a URL, the token of a boot URL, and the right that a blob's URL bears."""

LONGEST: Final = 8192
"""Characters of one value of a line: what is longer keeps its beginning and its end."""

_known: set[str] = set()


def never_write(values: Iterable[str]) -> None:
    """Have *values* redacted wherever they turn up; short ones would redact ordinary words."""
    shortest = 8
    _known.update(value for value in values if len(value) >= shortest)


def without_known(text: str) -> str:
    """Return *text* without what `never_write` was told of."""
    for value in tuple(_known):
        text = text.replace(value, REDACTED)
    return text


def configure(level: str, fmt: str, process: str, stream: TextIO = sys.stderr) -> None:
    """Send every log line of this process, vendors' too, to *stream*.

    Args:
        level: DEBUG, INFO, WARNING or ERROR; vendors' libraries speak from WARNING on.
        fmt: "json" or "console".
        process: the name that lines carry: edge, control, site, ...
        stream: where lines go.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_before(process), processors=_renderers(fmt, stream)
        )
    )
    logging.basicConfig(level=max(logging.WARNING, _number(level)), handlers=[handler], force=True)
    logging.getLogger("sprout").setLevel(_number(level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_before(process),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=_our_logger,
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def redacted(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """Replace telling fields, known secrets, and the secret parts of URLs (a processor)."""
    return {key: _cleaned(key, value) for key, value in line.items()}


def _our_logger(*args: object) -> logging.Logger:
    return logging.getLogger("sprout")


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level]


def _before(process: str) -> list[Processor]:
    def named(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
        return {**line, "process": process}

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        named,
    ]


def _renderers(fmt: str, stream: TextIO) -> list[Processor]:
    # Redaction comes last, so that traces are searched too.
    common: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redacted,
    ]
    if fmt == "json":
        return [*common, structlog.processors.JSONRenderer(default=str)]
    return [*common, structlog.dev.ConsoleRenderer(colors=stream.isatty())]


def _cleaned(key: object, value: Any) -> Any:
    if isinstance(key, str) and _TELLING.search(key):
        return REDACTED
    match value:
        case str():
            return _without_secrets(value)
        case Mapping():
            return {inner: _cleaned(inner, each) for inner, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_cleaned(None, each) for each in value]
        case None | bool() | int() | float():
            return value
        case _:
            return _without_secrets(str(value))


def _without_secrets(text: str) -> str:
    return _shortened(_IN_URL.sub(_masked, without_known(text)))


def _shortened(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} [... {len(text) - 2 * half} characters ...] {text[-half:]}"


def _masked(found: re.Match[str]) -> str:
    run = found["run"]
    return REDACTED if run is None else f"{run}/{REDACTED}"
