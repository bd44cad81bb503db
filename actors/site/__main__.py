"""`python -m actors.site`: reads the settings and the enrolment, and keeps the site running."""

import config.lean  # noqa: F401 - before structlog, which it keeps small

# isort: split

import signal
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from actors import broker
from actors.drivers import bmcs, reach
from actors.drivers.vault import resolvers
from actors.site import agent, enrolment, hold, identity, networks, supervisor
from actors.site.enrolment import Enrolment, NotEnrolled
from actors.site.hold import Occupied
from actors.site.identity import Impostor, Sign
from actors.site.place import OFF, Place, Unplaced, demand, demand_for, place
from actors.site.store import AgentStore
from actors.site.supervisor import Child
from config import logs
from config.secrets import Resolver
from config.settings import BadSettings, Settings, environment
from models.remote_commands import Allowed
from pxe_stack import serve
from pxe_stack.store import JOURNAL, JournalStore

if TYPE_CHECKING:
    from actors.drivers.edge_line import Tls
    from config.tls import Credentials

UNUSABLE: Final = 2
"""Exit status when there is nothing to work by: starting again does not help."""

SERVING: Final[Mapping[str, Callable[[serve.Site], None]]] = {
    "dhcp": serve.dhcp,
    "tftp": serve.tftp,
    "dns": serve.dns,
    "router": serve.router,
    "http": serve.http,
    "files": serve.files,
}


def main() -> int:
    """Run until SIGTERM; return the exit status.  Without an enrolment, wait for one."""
    if "--identity" in sys.argv[1:]:
        return _identify()
    if "--check" in sys.argv[1:]:
        return _check()
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    try:
        found = enrolment.awaited(_enrolled, _say, stop)
        if found is None:
            return 0
        settings, enrolled = found
        _own_commands(settings)
        where = _place(settings)
        held = hold.take(settings.site_dir)
        demand_for(networks.remembered(settings.site_dir), where)
        credentials = _proven(settings, enrolled)
        broker.secure(credentials)
    except (BadSettings, Unplaced, Impostor, Occupied) as exc:
        _say(str(exc))
        return UNUSABLE
    logs.configure(settings.log_level, settings.log_format, "site")
    logs.never_write([enrolled.signing_key.hex()])
    tls = _tls(credentials, enrolled)
    with held:
        ended = supervisor.run(_children(settings, enrolled, where, tls))
    return UNUSABLE if ended == supervisor.ENDS_ALL else ended


def _enrolled() -> tuple[Settings, Enrolment]:
    """Read the settings, `.env` too, and the enrolment that they name."""
    settings = Settings.load()
    return settings, enrolment.of_site(enrolment.read(settings.enrolment_file), settings.site_id)


def _identify() -> int:
    """Print the URI that this agent's certificate must name."""
    try:
        settings, enrolled = _enrolled()
    except (BadSettings, NotEnrolled) as exc:
        _say(str(exc))
        return UNUSABLE
    domain = settings.workload_trust_domain
    sys.stdout.write(f"{identity.workload(enrolled, settings.site_dir, domain).uri}\n")
    return 0


def _check() -> int:
    """Play firmware against the site that runs here, once."""
    try:
        settings, enrolled = _enrolled()
        where = _place(settings)
    except (BadSettings, NotEnrolled, Unplaced) as exc:
        _say(str(exc))
        return UNUSABLE
    from actors.site import check  # noqa: PLC0415 - no serving process is to carry scapy

    ports = check.Ports(settings.dhcp_port, settings.tftp_port, settings.dns_port)
    return check.run(
        where,
        enrolled.signing_key,
        settings.site_dir,
        ports,
        domain=settings.provisioning_domain,
        as_json="--json" in sys.argv[1:],
    )


def _proven(settings: Settings, enrolled: Enrolment) -> "Credentials | None":
    """Return what TLS is spoken by.  Raises BadSettings, and Impostor for another's."""
    if _signer(settings, enrolled) is not None:
        identity.demand_tls(enrolled, _broker_url(settings, enrolled))
    return settings.credentials()


def _tls(credentials: "Credentials | None", enrolled: Enrolment) -> "Tls | None":
    """Return how the edge is spoken to by https; None: it is believed as any site is."""
    if credentials is not None:
        return credentials.client
    if enrolled.ca:
        return partial(ssl.create_default_context, cadata=enrolled.ca)
    return None


def _signer(settings: Settings, enrolled: Enrolment) -> Sign | None:
    """Return what proves who says the agent's messages, where TLS is spoken."""
    credentials = settings.credentials()
    if credentials is None:
        return None
    own = identity.workload(enrolled, settings.site_dir, settings.workload_trust_domain)
    return identity.signer(own, credentials)


def _broker_url(settings: Settings, enrolled: Enrolment) -> str:
    # "postgres" only names the kind; where that queue is, the enrolment says.
    override = settings.broker.get_secret_value()
    return enrolled.broker if override in {"", "postgres"} else override


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)  # noqa: T201 - for whoever started it, before there is a log


def _place(settings: Settings) -> Place:
    demand(settings.model_fields_set, dict(settings))
    switches = {"dhcp": settings.dhcp_provider, "dns": settings.dns_provider}
    return place(
        netns=settings.netns,
        dhcp_interface=settings.dhcp_bind_interface,
        dhcp_address=str(settings.dhcp_bind_addr or ""),
        tftp_address=str(settings.tftp_bind_addr or ""),
        dns_address=str(settings.dns_bind_addr or ""),
        boot_address=str(settings.boot_bind_addr),
        boot_port=settings.boot_port,
        boot_url=settings.boot_advertise_url,
        off=frozenset(name for name, provider in switches.items() if provider == OFF),
    )


def _children(
    settings: Settings, enrolled: Enrolment, where: Place, tls: "Tls | None"
) -> list[Child]:
    site = _site(settings, enrolled, where)
    lives = {name: partial(SERVING[name], site) for name in sorted(where.services)}
    for number in range(2, site.tftp_processes + 1 if "tftp" in lives else 2):
        lives[f"tftp-{number}"] = lives["tftp"]
    for number in range(1, site.dhcp_processes if "dhcp" in lives else 1):
        lives[f"dhcp-{number + 1}"] = partial(serve.dhcp, site, number)
    if settings.site_metrics_bind:
        lives["metrics"] = partial(_metrics, settings)
    lives["agent"] = partial(agent.run, _setup(settings, enrolled, where, tls))

    def main(name: str) -> None:
        logs.configure(settings.log_level, settings.log_format, f"site-{name}")
        lives[name]()

    return [Child(name, partial(main, name)) for name in lives]


def _metrics(settings: Settings) -> None:
    """Tell what the site's processes have seen, until SIGTERM."""
    from actors import metrics  # noqa: PLC0415 - its library takes memory, in this process alone

    journal = JournalStore(settings.site_dir / JOURNAL)
    metrics.serve(settings.site_metrics_bind, metrics.Seen(journal.counters))
    signal.pause()


def _site(settings: Settings, enrolled: Enrolment, where: Place) -> serve.Site:
    # Stores are opened here for a moment only: a connection must not cross a fork.
    store = AgentStore(settings.site_dir)
    store.close()
    journal = JournalStore(settings.site_dir / JOURNAL)
    journal.begin()
    journal.close()
    return serve.Site(
        directory=settings.site_dir,
        agent=store.agent,
        key=enrolled.signing_key,
        boot_url=where.boot_url,
        boot_address=where.boot_address,
        boot_port=where.boot_port,
        netns=where.netns,
        dhcp_interface=where.dhcp_interface,
        dhcp_address=where.dhcp_address,
        tftp_address=where.tftp_address,
        dns_address=where.dns_address,
        dhcp_port=settings.dhcp_port,
        tftp_port=settings.tftp_port,
        tftp_processes=settings.tftp_processes,
        dhcp_processes=settings.dhcp_processes,
        dhcp_probe_s=settings.dhcp_probe_ms / 1000,
        dns_port=settings.dns_port,
        dns_forward=tuple(map(str, settings.dns_forward)),
        domain=settings.provisioning_domain,
        loader_dirs=settings.loader_dirs,
        boot_proxies=tuple(map(str, settings.boot_proxies)),
    )


def _resolvers(settings: Settings) -> dict[str, Resolver]:
    return resolvers(
        environment(),
        settings.secret_env_prefix,
        settings.vault_address,
        settings.vault_token.get_secret_value(),
        settings.vault_ca_file,
    )


def _own_commands(settings: Settings) -> Allowed | None:
    """Return the site's own list of commands, None where it has none.  Raises BadSettings."""
    try:
        return Allowed.of(settings.site_commands) if settings.site_commands else None
    except ValueError as exc:
        raise BadSettings(f"SPROUT_SITE_COMMANDS: {exc}") from None


def _setup(settings: Settings, enrolled: Enrolment, where: Place, tls: "Tls | None") -> agent.Setup:
    return agent.Setup(
        enrolment=enrolled,
        directory=settings.site_dir,
        artifact_dir=settings.artifact_dir,
        broker_url=_broker_url(settings, enrolled),
        boot_base_url=where.boot_url,
        boot_pin=settings.boot_cert_fingerprint,
        services=where.services,
        rules=reach.bmc(settings.bmc_networks, settings.bmc_ca_file),
        reach=reach.integration(settings.outbound_allow, settings.outbound_ca_file),
        resolvers=_resolvers(settings),
        drives=bmcs.capabilities(),
        sign=_signer(settings, enrolled),
        cache_bytes=settings.cache_bytes,
        canary_interval_s=settings.canary_interval_s,
        tls=tls,
        netns=where.netns,
        commands=_own_commands(settings),
    )


if __name__ == "__main__":
    sys.exit(main())
