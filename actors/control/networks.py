"""The errand that takes in the networks of an external provider."""

from typing import Any

from actors.control import provisions
from actors.control.errand import Job, Means
from actors.drivers import contract
from models.commands import held_networks
from models.database import borrowed


def sync(job: Job, means: Means) -> dict[str, Any]:
    """Ask for all networks, and take them in; return what came of it."""
    external = provisions.chosen("network", means)
    rows = contract.networks(provisions.peer(external, means.resolvers), provisions.asked(job))
    with borrowed():
        return held_networks.take_in(external.name, rows, job.check)
