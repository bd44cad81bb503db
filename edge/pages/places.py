"""Sites: who serves each, how it fares, what is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from edge.access import does, may
from edge.api import site_checks, sites
from edge.pages import frame, listing
from edge.wording import TONES as STATES
from models import captions, queries
from models.lifecycle import State
from models.views import AgentView, NetworkView, SiteView

TONES: Final[Mapping[str, str]] = MappingProxyType(
    {"healthy": "good", "degraded": "waiting", "down": "failed", "unserved": "off"}
)
LEVELS: Final[Mapping[str, str]] = MappingProxyType(
    {"ok": "good", "warning": "waiting", "failed": "failed"}
)

SHOWN: Final = 50
"""Agents, and networks, of one site's page: those heard last come first."""

blueprint: Final = Blueprint("places", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A site, and how it fares."""

    site: SiteView
    status: str
    detail: str
    agents: Sequence[AgentView]
    networks: Sequence[NetworkView]
    counts: Mapping[State, int]

    @property
    def live(self) -> int:
        """Return how many of its agents are live."""
        return sum(agent.live for agent in self.agents)


def _standings(found: Sequence[SiteView]) -> list[Standing]:
    ids = frozenset(site.id for site in found)
    agents, networks = queries.agents(among=ids), queries.networks(among=ids)
    counts = captions.counts(ids)
    return [
        _standing(
            site,
            [agent for agent in agents if agent.site_id == site.id],
            [network for network in networks if network.site_id == site.id],
            counts[site.id],
        )
        for site in found
    ]


def _standing(
    site: SiteView,
    agents: Sequence[AgentView],
    networks: Sequence[NetworkView],
    counts: Mapping[State, int],
) -> Standing:
    status, detail = sites.judged(agents, networks)
    return Standing(
        site=site, status=status, detail=detail, agents=agents, networks=networks, counts=counts
    )


@blueprint.get("/sites")
@does("site.read")
def index() -> ResponseReturnValue:
    """Show every site that the caller sees."""
    wanted = listing.wanted(sites.SiteFilter, "site.read")
    found = sites.found(wanted.query)
    return render_template(
        "places.html",
        wanted=wanted,
        standings=_standings(found),
        following=wanted.after(found.next),
        tones=TONES,
        may_create=may("site.create"),
        commands=frame.commands("/v1/sites", "sprout sites list", wanted.given),
    )


@blueprint.get("/sites/<site>")
@does("site.read")
def show(site: str) -> ResponseReturnValue:
    """Show one site: its agents and what their canaries met, its networks, its machines."""
    (standing,) = _standings([queries.site(site)])
    path = f"/v1/sites/{standing.site.slug}/health"
    return render_template(
        "place.html",
        standing=standing,
        checks=[(each, site_checks.Check.of_agent(each)) for each in standing.agents[:SHOWN]],
        networks=standing.networks[:SHOWN],
        tones=TONES,
        levels=LEVELS,
        states=STATES,
        may_network=may("network.create", standing.site.id),
        may_machine=may("machine.create", standing.site.id),
        may_sync=may("sync-job.create", standing.site.id),
        may_integrate=may("integration-job.create", standing.site.id),
        may_allocate=may("machine.allocate", standing.site.id),
        commands=frame.commands(path, f"sprout sites health {standing.site.slug}"),
    )
