"""A site whose integration jobs run as soon as they are asked for, and with whom."""

import time
from uuid import uuid4

from actors.control import errands as runner
from actors.drivers.deadline import Deadline
from config import secrets
from models.commands import errands, jobs, outcomes
from models.errands import Errand
from models.tables import IntegrationJob
from tests.models import make

SECRET = "a-very-secret-word"
REF = "env:TOKEN"
NEAR = ("127.0.0.1",)


class World:
    """A site whose integration jobs run as soon as they are asked for."""

    def __init__(self, partner, allow=NEAR):
        self.partner, self.allow = partner, allow
        self.site = make.site()
        self.env = {"SPROUT_SECRET_TOKEN": SECRET}

    def job(self, provider, path="", *, secret=REF, endpoint=""):
        """Return a new job; its *endpoint* may be one of before endpoints were judged."""
        kinds = {"http": "inventory-import"}
        made = jobs.create_integration(
            make.ADA,
            site_id=self.site,
            name=f"{provider} {uuid4()}",
            kind=kinds.get(provider, "metadata-export"),
            provider=provider,
            endpoint=f"{self.partner.url}{path}",
            secret_ref=secret,
        )
        if endpoint:
            IntegrationJob.update(endpoint=endpoint).where(IntegrationJob.id == made).execute()
        return made

    def run(self, job, *, dry_run=False):
        run = jobs.run_integration(make.ADA, job, reason="a test", dry_run=dry_run)
        held = errands.take([Errand.INTEGRATION_RUN])
        assert held.subject == run
        resolvers = {"env": secrets.from_environment(self.env, prefix="SPROUT_SECRET_")}
        means = runner.Means(resolvers=resolvers, allow=self.allow)
        mine = runner.Job(held, Deadline.after(held.left_s), time.monotonic() + 30)
        ended = runner.Runner(means)._done(mine)
        outcomes.settle(held, ended, make.render)
        return jobs.run(job, run)

    def tries(self, job, run):
        return [(t.part, t.attempt, t.status) for t in jobs.deliveries(job, run.id)]

    def machines(self, count):
        for n in range(count):
            make.machine(self.site, f"node-{n}", [make.interface(f"52:54:00:00:02:{n:02x}")])
