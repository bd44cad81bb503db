"""`python -m actors.control`: one control process; any number of them may run."""

import config.lean  # noqa: F401 - before structlog, which it keeps small

# isort: split

import importlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from actors import broker, queue_postgres
from actors.broker_contract import QueueError
from actors.control.errand import Means
from actors.drivers.vault import resolvers
from config import logs
from config.capabilities import External
from config.clusters import Access, Infrastructure
from config.policy import BadFile
from config.secrets import Resolver
from config.settings import BadSettings, Settings, environment
from models import database, roles
from models.commands import policy_source, providing, root_password, server_types
from models.errors import Invalid
from models.messages import CONTROL_QUEUE, LEASE_QUEUE, REPORT_QUEUE
from models.postgres import Disconnected, Session
from models.roles import Grant
from models.steps import Trait

QUEUES: Final = (CONTROL_QUEUE, REPORT_QUEUE, LEASE_QUEUE)
RETRY_S: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the threads are told."""

    database_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    admin_url: str = field(repr=False)
    grants: Mapping[str, Sequence[Grant]]
    allow: Sequence[str] = ()
    ca_file: Path | None = None
    externals: Sequence[External] = ()
    cluster: Access | None = None
    infrastructure: Infrastructure | None = None
    resolvers: Mapping[str, Resolver] = field(repr=False)
    metrics_bind: str = ""
    blob_dir: Path
    artifact_dir: Path


def main() -> int:
    """Work until SIGTERM; return the exit status."""
    try:
        settings = Settings.load()
        _secure(settings)
        policy_source.check(settings.policy_file)
    except (BadSettings, BadFile) as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    logs.configure(settings.log_level, settings.log_format, "control")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        setup = _setup(settings)
    except Invalid as exc:
        sys.stderr.write(f"SPROUT_AUTOMATION_USERS: {exc} {exc.hint}\n")
        return 2
    database.configure(setup.database_url, connections=settings.control_threads + 12)
    policy_source.follow_file(settings.policy_file)
    server_types.follow_file(settings.server_types_file)
    root_password.choose(settings.proxmox_root_password_hash.get_secret_value())
    providing.choose(
        [each.capability for each in setup.externals],
        settings.provisioning_domain,
        hosts=map(Trait, settings.of_hosts()),
    )
    _work(setup, settings.control_threads, stop)
    return 0


def _secure(settings: Settings) -> None:
    """Have both ends prove who they are, with TLS.  Raises BadSettings."""
    credentials = settings.credentials()
    broker.secure(credentials)
    if credentials is not None:
        peers = importlib.import_module("actors.control.peers")
        peers.demand(credentials, settings.workload_trust_domain)


def _setup(settings: Settings) -> Setup:
    database_url = settings.database_url.get_secret_value()
    broker_url = settings.broker.get_secret_value()
    return Setup(
        database_url=database_url,
        broker_url=database_url if broker_url in {"", "postgres"} else broker_url,
        admin_url=settings.broker_admin_url.get_secret_value(),
        grants=roles.parsed(settings.automation_users),
        allow=settings.outbound_allow,
        ca_file=settings.outbound_ca_file,
        externals=settings.externals(),
        cluster=settings.cluster(),
        infrastructure=settings.infrastructure(),
        resolvers=resolvers(
            environment(),
            settings.secret_env_prefix,
            settings.vault_address,
            settings.vault_token.get_secret_value(),
            settings.vault_ca_file,
        ),
        metrics_bind=settings.control_metrics_bind,
        blob_dir=settings.blob_dir,
        artifact_dir=settings.artifact_dir,
    )


def _work(setup: Setup, threads: int, stop: threading.Event) -> None:
    _prepare_queues(setup.broker_url, stop)
    queues = broker.broker_for(setup.broker_url, queues=QUEUES, consume=True)
    broker.install(queues)
    # Actors bind to the broker when they are imported: these are the late imports.
    importlib.import_module("actors.control.actors")
    running = [start(setup, stop) for start in _threads()]
    if setup.metrics_bind:
        # Late, for its memory.
        metrics = importlib.import_module("actors.metrics")
        queues_of = metrics.Queues(setup.broker_url, QUEUES)
        metrics.serve(setup.metrics_bind, queues_of, metrics.Work())
    log.info("control.started", threads=threads)
    broker.run_worker(queues, threads=threads, queues=QUEUES, stop=stop, grace_s=5.0)
    for thread in running:
        thread.join(timeout=5.0)
    log.info("control.stopped")


def _threads() -> tuple[Callable[[Setup, threading.Event], threading.Thread], ...]:
    """Return what starts each thread beside the worker."""
    names = ("relay", "reaper", "sealer", "events_relay", "morgue", "accounts", "automation")
    relay, reaper, sealer, events_relay, morgue, accounts, automation = (
        importlib.import_module(f"actors.control.{name}") for name in names
    )
    errands = importlib.import_module("actors.control.errands")
    return (
        lambda setup, stop: relay.thread(setup.database_url, setup.broker_url, stop),
        lambda _setup, stop: reaper.thread(stop),
        lambda _setup, stop: sealer.thread(stop),
        lambda setup, stop: events_relay.thread(setup.database_url, setup.broker_url, stop),
        lambda setup, stop: morgue.thread(setup.broker_url, stop),
        lambda setup, stop: accounts.thread(setup.broker_url, setup.admin_url, stop),
        lambda setup, stop: automation.thread(setup.broker_url, setup.grants, stop),
        lambda setup, stop: errands.thread(_means(setup), stop),
    )


def _means(setup: Setup) -> Means:
    by_capability = {each.capability: each for each in setup.externals}
    return Means(
        resolvers=setup.resolvers,
        allow=tuple(setup.allow),
        ca_file=setup.ca_file,
        externals=by_capability,
        blob_dir=setup.blob_dir,
        artifact_dir=setup.artifact_dir,
        cluster=setup.cluster,
        infrastructure=setup.infrastructure,
    )


def _prepare_queues(broker_url: str, stop: threading.Event) -> None:
    """Make the queues, waiting for a broker that is still starting."""
    while not stop.is_set():
        try:
            if broker_url.startswith("postgres"):
                with Session(broker_url, name="sprout-control") as session:
                    queue_postgres.create_schema(session)
            broker.declare(broker_url, QUEUES)
        except (QueueError, Disconnected, OSError) as exc:
            log.warning("broker.away", why=str(exc))
            time.sleep(RETRY_S)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
