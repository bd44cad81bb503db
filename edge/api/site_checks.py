"""What a site's canary met when it played firmware against it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field

from edge.api.fields import Answer, example
from models import checks
from models.views import AgentView

_FINDING: Final = {
    "client": "x64",
    "what": "loader",
    "level": "ok",
    "detail": "tftp://10.77.0.1:69/snponly.efi: 1,024,000 bytes in 19 ms",
}
_FOREIGN: Final = {
    "address": "10.77.0.9",
    "mac": "52:54:00:00:00:09",
    "offered": "10.77.0.200",
    "file": "",
}


class Finding(Answer):
    """What one kind of client met at one step."""

    model_config = ConfigDict(json_schema_extra=example(_FINDING))

    client: str
    what: str
    level: Literal["ok", "warning", "failed"]
    detail: str


class ForeignServer(Answer):
    """A DHCP server that is none of the site's agents."""

    model_config = ConfigDict(json_schema_extra=example(_FOREIGN))

    address: str
    mac: str
    offered: Annotated[str, Field(description="The address it offered; empty: none.")]
    file: Annotated[str, Field(description="What it has machines start; empty: nothing.")]


class Check(Answer):
    """The newest check that an agent made of its site."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "at": "2025-06-01T12:00:00Z",
                "ok": True,
                "findings": [_FINDING],
                "foreign": [_FOREIGN],
            }
        )
    )

    at: Annotated[datetime, Field(description="Told at least hourly, and when it changed.")]
    ok: Annotated[bool, Field(description="Nothing failed; there may be warnings.")]
    findings: list[Finding]
    foreign: list[ForeignServer]

    @classmethod
    def of_agent(cls, view: AgentView) -> Self | None:
        """Return what *view*'s agent has told last, None before it told anything."""
        if view.checked is None or view.checked_at is None:
            return None
        told = checks.Check.of(view.checked)
        return cls(
            at=view.checked_at,
            ok=not told.failed,
            findings=[Finding.of(each) for each in told.findings],
            foreign=[ForeignServer.of(each) for each in told.foreign],
        )


def summary(agents: Sequence[AgentView]) -> tuple[bool, str]:
    """Return whether live agents' canaries met no failure, and what they met, for people."""
    told = [checks.Check.of(each.checked) for each in agents if each.live and each.checked]
    failed = [finding for check in told for finding in check.failed]
    warned = [finding for check in told for finding in check.warnings if finding.client == "all"]
    said = "".join(
        f"; {each.client} {each.what}: {each.detail}" for each in failed[:1] + warned[:1]
    )
    more = len(failed) - 1
    return not failed, said + (f"; {more} more failures" if more > 0 else "")
