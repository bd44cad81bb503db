"""Changing and deleting what operators entered: what was read is what is changed."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from edge.cli import show
from edge.cli.client import Told, api

CLEAR: Final = "-"
"""What is written for a value that is to be cleared."""


def changes(given: Mapping[str, Any], **read: Callable[[Any], Any]) -> dict[str, Any]:
    """Return what was given of a record; *read* says how a field is read, and what it is if empty.

    An option that was not given stays out; CLEAR is read as nothing.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value in (None, "", []):
            continue
        said = type(value)() if value in (CLEAR, [CLEAR]) else value
        found[name] = read[name](said) if name in read else said
    return found


def change(kind: str, path: str, body: Mapping[str, Any]) -> None:
    """Change a record, unless somebody did since it was read.  Raises Told."""
    if not body:
        raise Told(
            f"nothing was named that the {kind} is to be changed in",
            f"What can be: sprout {kind}s update --help",
        )
    client = api()
    version = client.get(path)["version"]
    answer, _ = client.call("PATCH", path, body={"version": version, **body})
    show.done(answer, f"{kind} {_called(answer)} is at version {answer['version']}")


def delete(kind: str, path: str) -> None:
    """Delete a record.  Raises Told."""
    answer, _ = api().call("DELETE", path)
    show.done(answer, f"deleted {kind} {_called(answer)}")


def _called(found: Mapping[str, Any]) -> str:
    return str(next(found[name] for name in ("slug", "ref", "hostname", "name") if name in found))
