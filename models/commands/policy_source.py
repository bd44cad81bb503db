"""Where the policy in force comes from: a file that is followed, or what is built in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.policy import BadFile, Followed
from models import policy_file
from models.commands import policy
from models.errors import Invalid, NotReady
from models.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """*source*: file or `built in`; *trouble*: why the file as it is now is not in force."""

    source: str
    digest: str
    trouble: str = ""


_followed: list[Followed[Policy]] = []


def follow_file(path: Path | None) -> None:
    """Have this process judge by the file at *path*, or by what is built in when it is None."""
    _followed.clear()
    if path is None:
        policy.follow(policy_file.default)
        return
    _followed.append(Followed(path, lambda document: parsed(document, path)))
    policy.follow(_current)


def check(path: Path | None) -> None:
    """Return if the file at *path* is good.  Raises BadFile."""
    if path is not None:
        Followed(path, lambda document: parsed(document, path)).current()


def parsed(document: Any, path: Path) -> Policy:
    """Return the policy that *document* is.  Raises BadFile."""
    try:
        return policy_file.parse(document, source=str(path))
    except Invalid as exc:
        raise BadFile(str(exc)) from exc


def standing() -> Standing:
    """Return where the policy in force comes from, and what is wrong with the file, if anything."""
    try:
        found = policy.in_force()
    except NotReady as exc:
        return Standing(source="", digest="", trouble=str(exc))
    trouble = _followed[0].trouble if _followed else ""
    return Standing(source=found.source, digest=found.digest, trouble=trouble)


def _current() -> Policy:
    try:
        return _followed[0].current()
    except BadFile as exc:
        raise NotReady(
            f"no policy is in force: {exc}", hint="Mend the file; it is read again at once."
        ) from exc
