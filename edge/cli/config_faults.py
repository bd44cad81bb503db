"""What is wrong in a provisioning.yaml, or in a file of server types: each fault, and its words."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from config import faults, provisioning, server_types
from config.faults import Fault
from config.policy import BadFile, read
from config.provisioning import SECTIONS, Provisioning
from config.server_types import ServerType
from edge.cli import terminal
from models.answering import Hardware, Ours, composed
from models.commands.hosts import ANSWER
from models.errors import Invalid

_NOBODY: Final = Ours(
    fqdn="host.provisioning.sprout.local",
    ssh_key="ssh-ed25519 AAAA checked",
    password_hash="$6$salt$hash",  # noqa: S106 - nobody's
    installed_url="http://127.0.0.1/installed",
    first_boot_url="http://127.0.0.1/first-boot-script",
)


def line(path: Path, fault: Fault) -> str:
    """Return how *fault* of the file at *path* is told, on one line."""
    where = f"{path}:{fault.line}" if fault.line else str(path)
    place = f"{fault.place}: " if fault.place else ""
    return terminal.clean(f"{where}: {place}{fault.what}. {fault.cure}")


def faults_of(path: Path) -> list[tuple[Path, Fault]]:
    """Return all that is wrong in the file at *path*, and in one that it names."""
    try:
        document = read(path)
    except BadFile as exc:
        return [(path, _unreadable(path, exc))]
    if not (isinstance(document, Mapping) and SECTIONS & document.keys()):
        return [(path, fault) for fault in _of_types(document, path)]
    wrong = [(path, fault) for fault in provisioning.found(document, path)]
    if wrong:
        return wrong
    return _beside(provisioning.parsed(document), path)


def _unreadable(path: Path, exc: BadFile) -> Fault:
    what = str(exc).removeprefix(f"{path}: ")
    number, colon, rest = what.removeprefix("line ").partition(": ")
    if what.startswith("line ") and colon and number.isdecimal():
        return Fault(line=int(number), place="", what=rest, cure="Mend the YAML there.")
    return Fault(line=0, place="", what=what, cure="Name a YAML file that can be read.")


def _of_types(document: Any, path: Path) -> list[Fault]:
    wrong = server_types.found(document, path)
    if wrong:
        return wrong
    known = faults.lines(path)
    types = server_types.parsed(document)
    return [fault for key, kind in types.items() for fault in _of_answer(key, kind, known)]


def _of_answer(key: str, kind: ServerType, known: faults.Lines) -> list[Fault]:
    """Return why no host of the type *key* could be told what it says, if that is so."""
    try:
        composed(ANSWER, Hardware.of(kind.stated()), _NOBODY)
    except Invalid as exc:
        place = (key, "answer") if kind.answer else (key,)
        cure = exc.hint or "Correct the installer's answer; its keys are Proxmox's own."
        told = Fault(line=0, place=".".join(place), what=str(exc).rstrip("."), cure=cure)
        return [replace(told, line=faults.line_of(place, known))]
    return []


def _beside(told: Provisioning, path: Path) -> list[tuple[Path, Fault]]:
    """Return what is wrong in the file of server types that *told* names, or between the two."""
    types = Path(told.variables(path.absolute().parent)["SPROUT_SERVER_TYPES_FILE"])
    wrong = faults_of_types(types)
    if wrong:
        return wrong
    there = server_types.parsed(read(types))
    known = faults.lines(path)
    return [
        (
            path,
            Fault(
                line=faults.line_of(("infrastructure", "server_type_map", key), known),
                place=f"infrastructure.server_type_map.{key}",
                what=f"{types.name} has no server type {key}",
                cure=f"One of: {', '.join(sorted(there)[:20])}.",
            ),
        )
        for key in told.infrastructure.server_type_map
        if key not in there
    ]


def faults_of_types(path: Path) -> list[tuple[Path, Fault]]:
    """Return all that is wrong in the file of server types at *path*."""
    try:
        document = read(path)
    except BadFile as exc:
        return [(path, _unreadable(path, exc))]
    return [(path, fault) for fault in _of_types(document, path)]
