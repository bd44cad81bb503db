"""What is stored.  Private to `models`: rows stay in, frozen values travel.

The schema itself, with its foreign keys, stands in migrations/; these classes map it column by
column, and a test compares the two.
"""

from typing import Final

from models.rows.access import ApiToken, LoginAttempt, Session
from models.rows.day2 import ActionExecution, Approval, PolicyDecision
from models.rows.discoveries import Discovery, DiscoveryDrop
from models.rows.engine import (
    AutomationCommand,
    DeadLetter,
    DomainEvent,
    Observation,
    Outbox,
    Plan,
    Run,
    RunKey,
    Task,
    Workflow,
)
from models.rows.errands import Errand, Holding
from models.rows.inventory import (
    Agent,
    Allocation,
    Artifact,
    Image,
    Interface,
    Machine,
    Network,
    Profile,
    Range,
    Site,
)
from models.rows.jobs import (
    IdempotencyKey,
    IntegrationDelivery,
    IntegrationJob,
    IntegrationRun,
    SyncJob,
)
from models.rows.ledger import Audit, AuditSeal, Key, SignInCode

__all__ = [
    "ALL",
    "ActionExecution",
    "Agent",
    "Allocation",
    "ApiToken",
    "Approval",
    "Artifact",
    "Audit",
    "AuditSeal",
    "AutomationCommand",
    "DeadLetter",
    "Discovery",
    "DiscoveryDrop",
    "DomainEvent",
    "Errand",
    "Holding",
    "IdempotencyKey",
    "Image",
    "IntegrationDelivery",
    "IntegrationJob",
    "IntegrationRun",
    "Interface",
    "Key",
    "LoginAttempt",
    "Machine",
    "Network",
    "Observation",
    "Outbox",
    "Plan",
    "PolicyDecision",
    "Profile",
    "Range",
    "Run",
    "RunKey",
    "Session",
    "SignInCode",
    "Site",
    "SyncJob",
    "Task",
    "Workflow",
]

ALL: Final = (
    Site,
    Agent,
    Network,
    Range,
    Artifact,
    Image,
    Profile,
    Machine,
    Interface,
    Allocation,
    Workflow,
    Run,
    RunKey,
    Plan,
    Task,
    Errand,
    Holding,
    Observation,
    Audit,
    AuditSeal,
    Outbox,
    SignInCode,
    Key,
    ApiToken,
    Session,
    LoginAttempt,
    DomainEvent,
    AutomationCommand,
    DeadLetter,
    Discovery,
    DiscoveryDrop,
    PolicyDecision,
    Approval,
    ActionExecution,
    IdempotencyKey,
    SyncJob,
    IntegrationDelivery,
    IntegrationJob,
    IntegrationRun,
)
