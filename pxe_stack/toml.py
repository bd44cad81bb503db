"""TOML 1.0 as an answer needs it: sections of values, in which a mapping stands in one line."""

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

_DELETE: Final = "\x7f"
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def dump(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Return *sections* as TOML; their values are text, numbers, lists, and mappings of those."""
    return "\n".join(f"[{_key(name)}]\n{_lines(keys)}" for name, keys in sections.items())


def _lines(keys: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in keys.items())


def _value(value: Any) -> str:
    return _FORMS[type(value)](value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    # JSON's escapes are TOML's; but half a character it would write as two of them.
    return json.dumps(text, ensure_ascii=False).replace(_DELETE, "\\u007f")


def _list(values: list[Any]) -> str:
    return f"[{', '.join(map(_value, values))}]"


def _mapping(values: Mapping[str, Any]) -> str:
    pairs = (f"{_key(key)} = {_value(value)}" for key, value in values.items())
    return f"{{ {', '.join(pairs)} }}"


_FORMS: Final[Mapping[type, Callable[[Any], str]]] = MappingProxyType(
    {str: _text, bool: json.dumps, int: str, float: repr, list: _list, dict: _mapping}
)
