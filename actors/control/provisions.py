"""The errands to external providers of addresses, reservations and names."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from actors.control.errand import Job, Means
from actors.drivers import contract, kea, netbox, powerdns, reach
from actors.drivers.errors import Conflict, Refused, Unreachable
from actors.drivers.providers import Errand as Asked
from actors.drivers.providers import Peer
from config import logs, secrets
from config.capabilities import CONTRACT, External
from config.secrets import BadReference, Reference, Resolver, Secret
from models.database import alone
from models.errands import Errand

LOOK_S: Final = 5.0
"""Seconds between two looks at a run of tests."""

TURN_S: Final = 0.2
"""Seconds between two looks whether it is this errand's turn at a server."""

Make = Callable[[Peer, Asked, Mapping[str, Any]], dict[str, Any]]
Undo = Callable[[Peer, Asked, Mapping[str, Any]], None]
Health = Callable[[Peer, Asked], None]
Headers = Callable[[str], Mapping[str, str]]


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _not_so(_peer: Peer, _asked: Asked, _item: Mapping[str, Any]) -> Any:
    raise Refused("that is not what this provider is for")


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """What is done at a kind of provider; *serial*: by one process at a time."""

    make: Make = _not_so
    undo: Undo = _not_so
    health: Health
    headers: Headers = _bearer
    serial: bool = False


DRIVERS: Final[Mapping[tuple[str, str], Driver]] = MappingProxyType(
    {
        ("ipam", CONTRACT): Driver(
            make=contract.allocate, undo=contract.release, health=contract.health
        ),
        ("dhcp", CONTRACT): Driver(
            make=contract.reserve, undo=contract.unreserve, health=contract.health
        ),
        ("dns", CONTRACT): Driver(
            make=contract.record, undo=contract.unrecord, health=contract.health
        ),
        ("hardware_testing", CONTRACT): Driver(health=contract.health),
        ("network", CONTRACT): Driver(health=contract.health),
        ("allocation", CONTRACT): Driver(
            make=contract.take_machine, undo=contract.give_machine_back, health=contract.health
        ),
        ("ipam", "netbox"): Driver(
            make=netbox.allocate,
            undo=netbox.release,
            health=netbox.health,
            headers=netbox.headers,
            serial=True,
        ),
        ("dhcp", "kea"): Driver(
            make=kea.reserve,
            undo=kea.unreserve,
            health=kea.health,
            headers=kea.headers,
            serial=True,
        ),
        ("dns", "powerdns"): Driver(
            make=powerdns.record,
            undo=powerdns.unrecord,
            health=powerdns.health,
            headers=powerdns.headers,
        ),
    }
)
"""By capability, and what the provider speaks."""


def peer(external: External, resolvers: Mapping[str, Resolver]) -> Peer:
    """Return how *external* is asked, by what it speaks."""
    driver = DRIVERS[external.capability, external.kind]
    return replace(contract_peer(external, resolvers), headers=driver.headers)


def contract_peer(external: External, resolvers: Mapping[str, Resolver]) -> Peer:
    """Return how *external* is asked, if it speaks the contract."""

    def token() -> Secret | None:
        try:
            return token_of(external.token, resolvers)
        except secrets.SecretError as exc:
            raise type(exc)(f"{external.variable}_TOKEN: {exc}") from None

    rules = reach.provider(external.url, external.ca_file)
    return Peer(name=external.name, url=external.url, token=token, headers=_bearer, rules=rules)


def token_of(text: str, resolvers: Mapping[str, Resolver]) -> Secret | None:
    """Return the token that *text* is, or is the reference of; None where it is empty.

    Raises config.secrets' SecretError.
    """
    if not text:
        return None
    try:
        Reference.parse(text)
    except BadReference:
        found = Secret(text)
    else:
        found = secrets.resolve(text, resolvers)
    logs.never_write([found.reveal()])
    return found


def chosen(capability: str, means: Means) -> External:
    """Return the provider that is set here.  Raises Refused."""
    found = means.externals.get(capability)
    if found is None:
        raise Refused(
            f"no external provider of {capability} is set here; see "
            f"SPROUT_{capability.upper()}_PROVIDER at the control process"
        )
    return found


@contextmanager
def _serially(external: External, driver: Driver, job: Job) -> Iterator[None]:
    """Keep other errands from the same server meanwhile; they wait.  Raises Unreachable."""
    if not driver.serial:
        yield
        return
    key = int.from_bytes(hashlib.sha256(external.url.encode()).digest()[:4], "big", signed=True)
    while True:
        with alone(key) as mine:
            if mine:
                yield
                return
        if job.lost.wait(TURN_S) or job.deadline.left <= 0:
            job.check()
            raise Unreachable(f"{external.name} is busy with other machines")


def make(capability: str, job: Job, means: Means) -> dict[str, Any]:
    """Have the provider hold what the errand says; return what it calls it."""
    external = chosen(capability, means)
    driver = DRIVERS[capability, external.kind]
    with _serially(external, driver, job):
        job.check()
        try:
            found = driver.make(peer(external, means.resolvers), asked(job), job.held.params)
        except Conflict as exc:
            # By the contract; others are asked in several steps, and know what is ours themselves.
            exc.untouched = external.kind == CONTRACT
            raise
    return {**found, "provider": external.name}


def undo(capability: str, job: Job, means: Means) -> dict[str, Any]:
    """Have the provider hold no more what the errand names.

    Whatever it answers may pass: what is to be undone is tried until it is, or time is over.
    """
    try:
        external = chosen(capability, means)
        driver = DRIVERS[capability, external.kind]
        with _serially(external, driver, job):
            for item in job.held.params["items"]:
                job.check()
                # A key stands for one request: with another it is refused.
                its = replace(asked(job), key=f"{job.held.key}/{item['holding']}")
                driver.undo(peer(external, means.resolvers), its, item)
    except Refused as exc:
        raise Unreachable(str(exc)) from exc
    return {}


def hand_out(job: Job, means: Means) -> dict[str, Any]:
    """Have the allocator give all machines of an order; return which, and what it refused."""
    external = chosen("allocation", means)
    asks, held = peer(external, means.resolvers), dict[str, str]()
    for item in job.held.params["items"]:
        job.check()
        try:
            found = contract.take_machine(asks, replace(asked(job), key=item["key"]), item)
        except Refused as exc:
            return {"provider": external.name, "held": held, "refused": str(exc)}
        held[item["holding"]] = found["external_id"]
    return {"provider": external.name, "held": held}


def tested(job: Job, means: Means) -> dict[str, Any]:
    """Have a machine's hardware tested, and wait for how that ends."""
    external = chosen("hardware_testing", means)
    asks = peer(external, means.resolvers)
    run = contract.begin_test(asks, asked(job), job.held.params)
    while (rows := contract.found_by_test(asks, asked(job), run)) is None:
        if job.deadline.left <= LOOK_S or job.lost.wait(LOOK_S):
            job.check()
            raise Unreachable(f"{external.name}: the run {run} has not ended in time")
        job.check()
    return {"tests": rows, "external_id": run, "provider": external.name}


def health(job: Job, means: Means) -> dict[str, Any]:
    """See whether a provider works."""
    capability = job.held.params["capability"]
    external = chosen(capability, means)
    driver = DRIVERS[capability, external.kind]
    driver.health(peer(external, means.resolvers), asked(job))
    return {"provider": external.name}


def asked(job: Job) -> Asked:
    """Return what every exchange of the errand has in common."""
    held = job.held
    return Asked(key=held.key, request_id=held.request_id, deadline=job.deadline, check=job.check)


def _maker(capability: str) -> Callable[[Job, Means], dict[str, Any]]:
    return lambda job, means: make(capability, job, means)


def _undoer(capability: str) -> Callable[[Job, Means], dict[str, Any]]:
    return lambda job, means: undo(capability, job, means)


DOERS: Final[Mapping[Errand, Callable[[Job, Means], dict[str, Any]]]] = MappingProxyType(
    {
        Errand.IPAM_ALLOCATE: _maker("ipam"),
        Errand.IPAM_RELEASE: _undoer("ipam"),
        Errand.DHCP_RESERVE: _maker("dhcp"),
        Errand.DHCP_REMOVE: _undoer("dhcp"),
        Errand.DNS_RECORD: _maker("dns"),
        Errand.DNS_REMOVE: _undoer("dns"),
        Errand.HARDWARE_TEST: tested,
        Errand.MACHINES_ALLOCATE: hand_out,
        Errand.MACHINE_RELEASE: _undoer("allocation"),
        Errand.PROVIDER_HEALTH: health,
    }
)
"""What does each errand to a provider."""
