"""References to secrets, and the value that a log line cannot repeat.

env:NAME         the variable <prefix>NAME; for development
vault:PATH#KEY   a key of a secret in Vault; PATH begins with the mount of its engine
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self


class SecretError(Exception):
    """A secret cannot be had; says which reference, never a value."""


class BadReference(SecretError):
    """The text is no reference."""


class Unresolved(SecretError):
    """The reference is sound, and this place cannot resolve it."""


class Unavailable(SecretError):
    """What keeps the secret cannot be asked now; it may pass."""


class Secret:
    """A value without repr: `reveal` is the one way out, so that it can be searched for."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value; for the call that needs it, never for a message or a log line."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(**********)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled: send its reference")


_SEGMENT: Final = r"(?!\.\.?(?:/|#))[A-Za-z0-9._-]{1,100}"

_FORMS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "env": re.compile(r"[A-Z][A-Z0-9_]{0,99}"),
        "vault": re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{1,9}}#[A-Za-z0-9._-]{{1,100}}"),
    }
)


PATTERN: Final = f"^(?:{'|'.join(f'{kind}:{form.pattern}' for kind, form in _FORMS.items())})$"
"""What a reference looks like, as JSON Schema has it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is kept; safe to store, to log and to show."""

    scheme: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `env:NAME` or `vault:PATH#KEY`.

        Raises:
            BadReference: for anything else; the text is not repeated, it may be a pasted secret.
        """
        scheme, _, name = text.partition(":")
        form = _FORMS.get(scheme)
        if form is None or not form.fullmatch(name):
            raise BadReference("want env:NAME or vault:PATH#KEY")
        return cls(scheme, name)

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"


Resolver = Callable[[str], Secret]
"""Turns the name of a reference into its secret, or raises Unresolved or Unavailable."""


def from_environment(env: Mapping[str, str], *, prefix: str) -> Resolver:
    """Return a resolver of env:NAME that reads only variables with *prefix*."""

    def resolve(name: str) -> Secret:
        try:
            return Secret(env[prefix + name])
        except KeyError:
            raise Unresolved(f"env:{name}: {prefix}{name} is not set") from None

    return resolve


def resolve(text: str, resolvers: Mapping[str, Resolver]) -> Secret:
    """Return the secret behind the reference *text*.

    Raises:
        BadReference: *text* is no reference.
        Unresolved: no resolver for its scheme here, or the secret is not there.
        Unavailable: what keeps it cannot be asked now.
    """
    reference = Reference.parse(text)
    resolver = resolvers.get(reference.scheme)
    if resolver is None:
        raise Unresolved(f"{reference}: {reference.scheme} is not configured here")
    return resolver(reference.name)
