"""The errands that bring a host into its cluster, and into the Infrastructure service.

One more takes the key of a rebuild from a host that came to neither.
"""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from typing import Any, Final
from uuid import UUID

import structlog

from actors.control.errand import Doer, Job, Means
from actors.control.provisions import asked, token_of
from actors.drivers import dial, infrastructure, join, leftover_key, outbound, reach, ssh
from actors.drivers.dial import Dial
from actors.drivers.errors import Refused, Unreachable
from actors.drivers.join import Plan, Way
from actors.drivers.leftover_key import Leaving
from actors.drivers.providers import Peer
from actors.drivers.reach import Rules
from actors.drivers.ssh_keys import Login
from config import logs, secrets
from config.clusters import Access
from config.secrets import Secret
from models import joining, ssh_access
from models.commands import joins as membership
from models.database import borrowed
from models.errors import Invalid
from models.join_steps import JOIN_S

KeyOf = Callable[[UUID], Secret | None]
"""Returns the private half of a run's SSH key, in OpenSSH's form; None where it is gone."""

MemberOf = Callable[[UUID], Mapping[str, Any]]
"""Returns the node by which the host of a run joins; nothing where it is the first."""

MOVE_S: Final = 300.0
"""Seconds for a single command of a join."""

_ANY: Final = (IPv4Network("0.0.0.0/0"),)

log = structlog.get_logger()


def _joined_last(run: UUID) -> Mapping[str, Any]:
    with borrowed():
        return membership.member(run)


def joiner(
    key_of: KeyOf, connect: Dial | None = None, *, member_of: MemberOf = _joined_last
) -> Doer:
    """Return what joins a host, by the key that *key_of* has of its run.

    Where no member is set, *member_of* is asked for one when the join begins.
    """

    def run(job: Job, means: Means) -> Mapping[str, Any]:
        if means.cluster is None:
            raise Refused("no cluster is set here that hosts are to join")
        private = key_of(UUID(job.held.params["run"]))
        if private is None:
            raise Refused("the key of this rebuild is gone: rebuild the host again")
        plan = _plan(job, means.cluster, means, private, member_of)
        return join.join(plan, connect or dial.within(lambda: _ANY), job.deadline.within(JOIN_S))

    return run


def leaver(
    key_of: KeyOf, connect: Dial | None = None, *, member_of: MemberOf = _joined_last
) -> Doer:
    """Return what takes the key of a rebuild that ended badly from its host."""

    def run(job: Job, means: Means) -> Mapping[str, Any]:
        told = job.held.params
        private = key_of(UUID(told["run"]))
        if private is None:
            raise Refused("its private half is gone from here already")
        member = _member(means.cluster, told, member_of) if means.cluster is not None else {}
        what = Leaving(
            name=told["node"],
            host=_host(told["host"]),
            key=Login(user=ssh_access.USER, private_key=private),
            member=lambda: _way(member, means),
            pause=lambda seconds: _pause(job, seconds),
        )
        leftover_key.leave(what, connect or dial.within(lambda: _ANY), job.deadline.within(JOIN_S))
        return {"key_gone": True}

    return run


def _way(member: Mapping[str, Any], means: Means) -> Way | None:
    """Return how the cluster's *member* is logged in to; None where there is none, or no key."""
    access = means.cluster
    if not member or access is None or not access.ssh_key:
        return None
    return Way(host=_host(member), login=_site(access, means))


def _plan(job: Job, access: Access, means: Means, private: Secret, member_of: MemberOf) -> Plan:
    told = job.held.params
    member = _member(access, told, member_of)
    try:
        want = joining.wanted(
            told["node"],
            cluster=member.get("cluster") or access.name,
            member=member.get("address", ""),
            pin=member.get("fingerprint", ""),
        )
    except Invalid as exc:
        raise Refused(f"the cluster is not set as it must be: {exc}") from exc
    login = Login(user=ssh_access.USER, private_key=private)
    return Plan(
        want=want,
        host=Way(host=_host(told["host"]), login=login),
        member=None if not member else Way(host=_host(member), login=_site(access, means)),
        key=login.public,
        password=_secret(access.password, means) if access.password else None,
        pause=lambda seconds: _pause(job, seconds),
        tell=lambda words: log.info("join.doing", node=told["node"], what=words),
        limit_s=MOVE_S,
    )


def _member(access: Access, told: Mapping[str, Any], member_of: MemberOf) -> dict[str, Any]:
    """Return the node to join by: the one that is set, else one that joined; none for the first."""
    if not access.member:
        return dict(member_of(UUID(told["run"])))
    return {
        "address": access.member,
        "keys": list(access.member_keys),
        "fingerprint": access.pin,
        "cluster": access.name,
    }


def _host(told: Mapping[str, Any]) -> ssh.Host:
    """Return where to log in; a name is resolved now.  Raises Unreachable."""
    port, name = int(told.get("port", 22)), str(told["address"])
    try:
        address = outbound.address_of(Rules(networks=reach.anywhere()), name, port)
    except OSError as exc:
        raise Unreachable(f"{name} has no address: {exc.strerror or exc}") from exc
    return ssh.Host(address=address, keys=tuple(map(str, told["keys"])), port=port)


def _site(access: Access, means: Means) -> Login:
    if not access.ssh_key:
        raise Refused("no SSH key is set here by which nodes of the cluster let Sprout in")
    return Login(user=ssh_access.USER, private_key=_secret(access.ssh_key, means))


def _secret(reference: str, means: Means) -> Secret:
    found = secrets.resolve(reference, means.resolvers)
    logs.never_write([found.reveal()])
    return found


def _pause(job: Job, seconds: float) -> None:
    job.lost.wait(seconds)
    job.check()


def register(job: Job, means: Means) -> Mapping[str, Any]:
    """Have the Infrastructure service know a host; nothing, where none is set."""
    service = means.infrastructure
    if service is None:
        return {"off": True}
    rules = reach.provider(service.url, service.ca_file)
    peer = Peer(
        name="the Infrastructure service",
        url=service.url,
        token=lambda: token_of(service.token, means.resolvers),
        rules=rules,
    )
    return infrastructure.register(peer, asked(job), service, job.held.params)
