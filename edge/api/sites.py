"""Sites, and the agents that serve them."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from flask import Response, current_app
from pydantic import ConfigDict, Field

from edge import access, auth, conditions
from edge.api import site_checks
from edge.api.contract import answered, operation, resource
from edge.api.fields import (
    Answer,
    Body,
    Change,
    Labels,
    Line,
    Listing,
    Page,
    Path,
    Slug,
    SortOf,
    Word,
    example,
)
from edge.api.site_checks import Check
from models import accounts, clocks, lists, queries, ssh_access
from models.bootnet import Mode
from models.commands import inventory
from models.commands import sites as commands
from models.errors import NotReady
from models.lifecycle import State
from models.paging import Part
from models.views import AgentView, NetworkView, SiteView

api: Final = resource("sites", "Places with machines, each served by its own agents.")

DHCP: Final = "dhcp"
"""The capability of an agent that answers DHCP."""

BOOTS: Final = "provisioning"
"""The purpose of networks that machines boot from."""

_AT: Final = "2025-06-01T12:00:00Z"
_SITE: Final = "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10"


class SiteRef(Path):
    site: Annotated[Line, Field(description="The site's id or slug.", examples=["ams-1"])]


class SiteFilter(Listing):
    search: Annotated[Word, Field(description="Part of a slug or of a name.")] = ""
    sort: Annotated[str, SortOf(lists.SITES)] = lists.SITES.usual


class AgentFilter(Listing):
    live: Annotated[bool | None, Field(description="Only those heard, or not heard.")] = None
    sort: Annotated[str, SortOf(lists.AGENTS)] = lists.AGENTS.usual


class NewSite(Body):
    model_config = ConfigDict(
        json_schema_extra=example({"name": "Amsterdam", "slug": "ams-1", "labels": {"tier": "1"}})
    )

    name: Line
    slug: Annotated[Slug, Field(description="Stands in URLs and queue names; unique.")]
    labels: Labels = Field(default_factory=dict)


class ChangedSite(Change):
    model_config = ConfigDict(
        json_schema_extra=example({"version": 1, "name": "Amsterdam", "labels": {"tier": "1"}})
    )

    name: Line = Field(default_factory=str)
    labels: Labels = Field(default_factory=dict)


class Site(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": _SITE,
                "name": "Amsterdam",
                "slug": "ams-1",
                "labels": {"tier": "1"},
                "version": 1,
                "createdAt": _AT,
                "updatedAt": _AT,
            }
        )
    )

    id: UUID
    name: str
    slug: str
    labels: dict[str, str]
    version: int
    created_at: datetime
    updated_at: datetime


class Sites(Page):
    items: list[Site]


class Agent(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": "018f6f40-11c2-7aa0-8f9e-5b3c1d2e4f60",
                "siteId": _SITE,
                "hostname": "boot-01",
                "software": "0.1.0",
                "capabilities": ["boot", "redfish"],
                "live": True,
                "registeredAt": _AT,
                "lastSeenAt": _AT,
                "clockOffsetMs": 3,
                "planDigest": "",
                "syncedAt": _AT,
                "contactSince": _AT,
                "drained": True,
                "speaks": [1],
                "networksCurrent": True,
                "doubled": False,
                "sshAuthority": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbgHHOiTBJO7UkAf3SeQTDYiSrZ"
                "+zshvat/ngMbgzzg",
                "check": None,
            }
        )
    )

    id: UUID
    site_id: UUID
    hostname: str
    software: Annotated[str, Field(description="The agent's version.")]
    capabilities: list[str]
    live: Annotated[bool, Field(description="A heartbeat came within the last 35 seconds.")]
    registered_at: datetime
    last_seen_at: datetime
    clock_offset_ms: Annotated[int, Field(description="Its clock, less control's.")]
    plan_digest: Annotated[str, Field(description="Of the plans it holds.")]
    synced_at: Annotated[datetime | None, Field(description="When it last held what it should.")]
    contact_since: Annotated[datetime, Field(description="Since when it is in contact.")]
    drained: Annotated[bool, Field(description="What it saw while out of contact has arrived.")]
    speaks: Annotated[list[int], Field(description="Versions of messages that it understands.")]
    networks_current: Annotated[bool, Field(description="It holds the networks as they are.")]
    doubled: Annotated[bool, Field(description="Two processes speak with its id.")]
    ssh_authority: Annotated[
        str | None, Field(description="Whom machines trust, so that it runs commands there.")
    ] = None
    check: Annotated[Check | None, Field(description="What its canary met last.")] = None

    @classmethod
    def of_view(cls, view: AgentView) -> Self:
        """Return *view* as it is shown, with what its canary told."""
        known = ssh_access.public_key(view.advertise.get(ssh_access.ADVERTISED)) or None
        return cls.of(view).model_copy(
            update={"check": Check.of_agent(view), "ssh_authority": known}
        )


class Agents(Page):
    items: list[Agent]


Status = Literal["healthy", "degraded", "down", "unserved"]


class Health(Answer):
    """healthy: all agents live, and what they serve boots machines; degraded: some, or some of it,
    or some of their clocks are wrong; down: none live; unserved: there never was one.
    """

    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "siteId": _SITE,
                "status": "healthy",
                "detail": "1 of 1 agents live",
                "agents": [],
                "machines": {"active": 3, "failed": 0},
            }
        )
    )

    site_id: UUID
    status: Status
    detail: str
    agents: list[Agent]
    machines: dict[State, int]


class Enrolment(Answer):
    """What an agent needs to speak for the site.  It holds the site's key: keep it secret."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "site": _SITE,
                "slug": "ams-1",
                "signingKey": "00" * 32,
                "broker": "amqp://site-ams-1:password@broker.example:5672/",
                "edge": "https://sprout.example",
            }
        )
    )

    site: UUID
    slug: str
    signing_key: Annotated[str, Field(description="Hexadecimal digits.")]
    broker: str
    edge: str


@operation(
    api,
    "post",
    "/v1/sites",
    "createSite",
    answer=Site,
    status=HTTPStatus.CREATED,
    refuses=("invalid", "taken"),
    action="site.create",
)
def create(body: NewSite) -> Response:
    """Create a site."""
    site_id = inventory.create_site(
        auth.caller(), name=body.name, slug=body.slug, labels=body.labels
    )
    made = Site.of(queries.site(site_id))
    return answered(made, HTTPStatus.CREATED, location=f"/v1/sites/{site_id}")


@operation(api, "get", "/v1/sites", "listSites", answer=Sites, action="site.read")
def index(query: SiteFilter) -> Response:
    """List sites."""
    return answered(Sites.showing(found(query)))


def found(query: SiteFilter) -> Part[SiteView]:
    """Return the sites that *query* asks for, of those that the caller sees."""
    return lists.sites(among=access.visible_sites(), search=query.search, ask=query.ask())


@operation(api, "get", "/v1/sites/<site>", "getSite", answer=Site, action="site.read")
def show(path: SiteRef) -> Response:
    """Show one site."""
    return answered(Site.of(queries.site(path.site)))


@operation(api, "patch", "/v1/sites/<site>", "updateSite", answer=Site, action="site.update")
def update(path: SiteRef, body: ChangedSite) -> Response:
    """Change a site's name or labels; its slug stays."""
    site = queries.site(path.site)
    version = conditions.expected(body.version)
    commands.update_site(auth.caller(), site.id, body.asked(), version=version)
    return answered(Site.of(queries.site(site.id)))


@operation(
    api,
    "delete",
    "/v1/sites/<site>",
    "deleteSite",
    answer=Site,
    refuses=("in-use", "not-ready"),
    action="site.delete",
)
def delete(path: SiteRef) -> Response:
    """Forget a site without machines, networks and live agents; answers what it was."""
    site = queries.site(path.site)
    version = conditions.expected(None, demanded=False)
    commands.delete_site(auth.caller(), site.id, version=version)
    return answered(Site.of(site))


@operation(
    api, "get", "/v1/sites/<site>/health", "getSiteHealth", answer=Health, action="site.read"
)
def health(path: SiteRef) -> Response:
    """Say whether the site is served, by whom, and how its machines are."""
    site = queries.site(path.site)
    found = queries.agents(site.id)
    status, detail = judged(found, queries.networks(site.id))
    return answered(
        Health(
            site_id=site.id,
            status=status,
            detail=detail,
            agents=[Agent.of_view(view) for view in found],
            machines=queries.counts(site.id),
        )
    )


@operation(
    api, "get", "/v1/sites/<site>/agents", "listSiteAgents", answer=Agents, action="site.read"
)
def agents(path: SiteRef, query: AgentFilter) -> Response:
    """List the agents of a site."""
    site = queries.site(path.site)
    return answered(Agents.showing(lists.agents(site.id, live=query.live, ask=query.ask())))


@operation(
    api,
    "post",
    "/v1/sites/<site>/enrol",
    "enrolSite",
    answer=Enrolment,
    refuses=("not-ready",),
    action="site.enrol",
    secret=True,
)
def enrol(path: SiteRef) -> Response:
    """Return the site's enrolment: its key, its account at the broker, and where the edge is."""
    config = current_app.extensions["sprout"]
    site = queries.site(path.site).id
    if not config.broker:
        raise NotReady(
            "sites have no account at the broker",
            hint="Set SPROUT_BROKER_ADMIN_URL, so that each gets its own, or SPROUT_SITE_BROKER.",
        )
    given = inventory.enrolment(auth.caller(), site)
    key = bytes.fromhex(given["signing_key"])
    return answered(
        Enrolment(
            site=UUID(given["site"]),
            slug=given["slug"],
            signing_key=given["signing_key"],
            broker=accounts.url(config.broker, site, key) if config.accounts else config.broker,
            edge=config.sites_url,
        )
    )


def judged(agents: Sequence[AgentView], networks: Sequence[NetworkView]) -> tuple[Status, str]:
    """Return a site's status, and why, from its agents and what its networks want of them."""
    live = sum(agent.live for agent in agents)
    detail = f"{live} of {len(agents)} agents live"
    if not agents:
        return "unserved", "no agent was ever here: sprout sites enrol SITE, then sprout site"
    detail += _unanswered(agents, networks) if live else ""
    boots, met = site_checks.summary(agents)
    unfit = _unfit(agents)
    detail += met + unfit
    if live == len(agents) and boots and not unfit:
        return "healthy", detail
    return ("degraded" if live else "down"), detail


def _unfit(agents: Sequence[AgentView]) -> str:
    """Return what is to be said of agents that are not fit for work."""
    told = ((a.hostname, clocks.apart(a.clock_offset_ms)) for a in agents if a.live)
    clock = "; the clock of {} is {}, so that it is given no work until it is set"
    twice = (
        "; two processes speak as agent {}: its folder was copied, and the later one is to yield"
    )
    apart = [clock.format(name, wrong) for name, wrong in told if wrong]
    return "".join(apart + [twice.format(a.hostname) for a in agents if a.doubled])


def _unanswered(agents: Sequence[AgentView], networks: Sequence[NetworkView]) -> str:
    """Return what is to be said where machines should be answered by DHCP, and nobody does."""
    if any(agent.live and DHCP in agent.capabilities for agent in agents):
        return ""
    wanted = [n.name for n in networks if n.purpose == BOOTS and n.dhcp_mode != Mode.OFF]
    if not wanted:
        return ""
    remedy = "set SPROUT_DHCP_BIND_INTERFACE at the site, or --dhcp-mode off on the network"
    return f"; no agent answers DHCP, which network {wanted[0]} wants: {remedy}"
