"""`sprout sites`: the places where machines stand, and who serves them."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from edge.cli import records, show, terminal
from edge.cli.client import Api, Told, api
from edge.cli.commands import Commands
from edge.cli.options import SiteName, given, labels
from models import ssh_access

SITES: Final = Commands("Places where machines stand.")

_COLUMNS: Final = {"slug": "slug", "name": "name", "id": "id"}

Found = Mapping[str, Any]


def _clock(agent: Found) -> str:
    clock = agent["clockOffsetMs"]
    return "" if clock is None else f"{clock:+d} ms"


def _boots(agent: Found) -> str:
    """Return what the agent's canary met, in two words."""
    if agent["check"] is None:
        return ""
    levels = [each["level"] for each in _amiss(agent)]
    if "failed" in levels:
        return f"{levels.count('failed')} failed"
    return f"{len(levels)} odd" if levels else "ok"


def _amiss(agent: Found) -> list[Found]:
    found = (agent["check"] or {"findings": []})["findings"]
    return [each for each in found if each["level"] != "ok"]


_AGENT_COLUMNS: Final[show.Columns] = {
    "agent": "hostname",
    "is": lambda agent: "live" if agent["live"] else "silent",
    "seen": "lastSeenAt",
    "had all plans": lambda agent: agent["syncedAt"] or "never",
    "networks": lambda agent: "newest" if agent["networksCurrent"] else "older",
    "told": lambda agent: "all" if agent["drained"] else "some waits",
    "clock": _clock,
    "boots": _boots,
    "does": "capabilities",
    "id": "id",
}
_MET_COLUMNS: Final = {
    "agent": "agent",
    "client": "client",
    "step": "what",
    "result": "level",
    "detail": "detail",
}


@SITES.command("create")
def create(
    name: Annotated[str, typer.Option(help="For people.")],
    slug: Annotated[str, typer.Option(help="For URLs and queues, such as ams-1.")],
    label: Annotated[list[str] | None, typer.Option(help="name=value; may be repeated.")] = None,
) -> None:
    """Record a site; prints its id."""
    body = {"name": name, "slug": slug, "labels": labels(label or [])}
    show.made(api().post("/v1/sites", given(body)), f"created site {name}")


@SITES.command("list")
def listed(
    search: Annotated[str, typer.Option(help="Part of a name or slug.")] = "",
) -> None:
    """List sites."""
    show.rows(api().items("/v1/sites", search=search), _COLUMNS)


@SITES.command("show")
def shown(site: SiteName) -> None:
    """Show one site, by id or slug."""
    show.record(api().get(f"/v1/sites/{site}"))


@SITES.command("update")
def update(
    site: SiteName,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    label: Annotated[
        list[str] | None, typer.Option(help="name=value; all of them; - clears them.")
    ] = None,
) -> None:
    """Change a site; what is not named stays."""
    body = records.changes({"name": name, "labels": label}, labels=labels)
    records.change("site", f"/v1/sites/{site}", body)


@SITES.command("delete")
def delete(site: SiteName) -> None:
    """Forget a site without machines, networks and live agents."""
    records.delete("site", f"/v1/sites/{site}")


@SITES.command("health")
def health(site: SiteName) -> None:
    """Show a site's agents: whether they live, serve the newest plans, and told all they saw."""
    found = api().get(f"/v1/sites/{site}/health")
    if show.for_programs():
        show.data(found)
        return
    machines = {state: n for state, n in found["machines"].items() if n}
    counts = ", ".join(f"{n} {state}" for state, n in machines.items()) or "none"
    summary = {"site": site, "status": found["status"], "detail": found["detail"]}
    show.record(summary | {"machines": counts})
    if found["agents"]:
        show.rows(found["agents"], _AGENT_COLUMNS)
    met = [
        {**each, "agent": agent["hostname"]} for agent in found["agents"] for each in _amiss(agent)
    ]
    if met:
        terminal.out("")
        show.rows(met, _MET_COLUMNS)


@SITES.command("ssh-ca")
def ssh_ca(
    site: SiteName,
    machine: Annotated[
        str, typer.Option("--machine", help="Print the lines for its authorized_keys.")
    ] = "",
) -> None:
    """Print the public keys by which a site's agents log in to machines.

    A machine that was installed by other means lets them in by the lines that --machine prints, in
    its /root/.ssh/authorized_keys.
    """
    client = api()
    agents = client.items(f"/v1/sites/{site}/agents")
    keys = [agent["sshAuthority"] for agent in agents if agent["sshAuthority"]]
    if not keys:
        raise Told(
            f"no agent of {site} has told its key yet",
            "Start one with: sprout site; one that runs writes why to its log.",
        )
    found = client.get(f"/v1/machines/{machine}") if machine else None
    lines = keys if found is None else ssh_access.lines(keys, UUID(found["id"]))
    if show.for_programs():
        show.data(list(lines))
    else:
        terminal.out("\n".join(lines))


@SITES.command("enrol")
def enrol(site: SiteName) -> None:
    """Print the file that an agent of the site needs; it holds the site's key.

    Keep it to yourself: (umask 077; sprout sites enrol SITE > FILE)
    """
    text = enrolment(api(), site)
    if show.for_programs():
        show.data(json.loads(text))
    else:
        terminal.out(text)


def enrolment(client: Api, site: str) -> str:
    """Return the text of the file by which an agent of *site* works."""
    made = client.post(f"/v1/sites/{site}/enrol", {})
    made["signing_key"] = made.pop("signingKey")
    return json.dumps(made, indent=2)
