"""What control itself does outside of the database: each kind of errand, and one that is held.

An errand is a row: what is to be done, under which key, until when.  Any control process takes it
under a lease, does its I/O outside of any transaction, and records the outcome with the fence it
took it under; one that dies is taken again by another, with the same key.

To add one: a name here; what does it in `actors.control.errands.DOERS`; and
* for a step of a workflow: `errand(…)` in its table, and what it is told and what its outcome
  means in `models.commands.providing.PARTS`;
* for anything else: `models.commands.errands.ask(…)` in the transaction that wants it done, and
  what its end means in `models.commands.outcomes.ENDS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

LEASE_S: Final = 30
"""Seconds without a renewal after which an errand is another process's."""

QUIET_S: Final = 2 * LEASE_S
"""Seconds after which nothing more comes to a provider of an errand that was given up: its doer has
noticed, and the one exchange that was under way is over."""

LONGEST_REST_S: Final = 600.0


class Errand(StrEnum):
    """The kinds of errand.  Stored: add, never rename."""

    IPAM_ALLOCATE = "ipam-allocate"
    IPAM_RELEASE = "ipam-release"
    DHCP_RESERVE = "dhcp-reserve"
    DHCP_REMOVE = "dhcp-remove"
    DNS_RECORD = "dns-record"
    DNS_REMOVE = "dns-remove"
    HARDWARE_TEST = "hardware-test"
    PROVIDER_HEALTH = "provider-health"
    INTEGRATION_RUN = "integration-run"
    NETWORK_SYNC = "network-sync"
    MACHINES_ALLOCATE = "machines-allocate"
    MACHINE_RELEASE = "machine-release"
    IMAGE_PREPARE = "image-prepare"
    CLUSTER_JOIN = "cluster-join"
    INFRASTRUCTURE_REGISTER = "infrastructure-register"
    RUN_KEY_REMOVE = "run-key-remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An errand that this process holds; *left_s*: seconds until its deadline, when it was taken.

    *key* is the same for each time that it is done: a peer that knows it does it once.
    """

    id: UUID
    name: Errand
    subject: UUID
    key: str
    params: Mapping[str, Any] = field(default_factory=dict)
    fence: int
    left_s: float
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How doing it ended: *result*, or the *reason* why not; *retryable*: it may pass.

    *untouched*: what was asked for was not even begun, so that there is nothing to undo.
    """

    done: bool
    result: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    retryable: bool = False
    untouched: bool = False


def rest_s(backoff_s: int, attempt: int) -> float:
    """Return the seconds between try number *attempt* and the next: doubled each time, bounded."""
    return min(backoff_s * 2.0 ** min(attempt - 1, 20), LONGEST_REST_S)
