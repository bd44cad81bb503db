"""A scene whose machines have external providers, and errands that are run when a test says so."""

import math
from datetime import UTC, datetime, timedelta

from actors.control import errands as runner
from actors.control.errand import Job, Means
from actors.drivers.deadline import Deadline
from config.capabilities import CAPABILITIES, CONTRACT, External
from config.secrets import Secret, Unresolved
from models.commands import errands, outcomes, providing
from models.tables import Errand
from tests.models import make
from tests.services.provider import TOKEN

DOMAIN = "prov.example"


def external(capability, url, kind=CONTRACT, token="env:T"):  # noqa: S107 - a reference
    return External(capability=capability, kind=kind, url=url, token=token)


def means(*externals):
    def resolve(name):
        if name != "T":
            raise Unresolved(f"env:{name}: it is not set")
        return Secret(TOKEN)

    found = {each.capability: each for each in externals}
    return Means(resolvers={"env": resolve}, externals=found)


def all_at(url):
    return means(*(external(each, url) for each in CAPABILITIES))


class Provided(make.Scene):
    """A scene in which *capabilities* are provided from outside."""

    def __init__(self, found, capabilities=("ipam", "dhcp", "dns")):
        super().__init__()
        self.means = found
        providing.choose(capabilities, DOMAIN)

    def run_errands(self, most=20):
        """Run what is to be done, one after the other; return how each ended."""
        ended = []
        while len(ended) < most and (held := errands.take(runner.DOERS)):
            ended.append(self._done(held))
        return ended

    def _done(self, held):
        job = Job(held, Deadline.after(min(held.left_s, 20)), math.inf)
        ended = runner.Runner(self.means)._done(job)
        outcomes.settle(held, ended, make.render)
        return ended

    def rested(self):
        """Let the pauses of all errands be over."""
        then = datetime.now(UTC) - timedelta(seconds=1)
        Errand.update(wake_at=then).where(Errand.state == "waiting").execute()


def chosen_nothing():
    providing.choose((), "provisioning.sprout.local")
