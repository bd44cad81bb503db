"""What is under way, what was seen of it, and what is to be said of it."""

from uuid import uuid4

from peewee import (
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CompositeKey,
    DoubleField,
    IntegerField,
    TextField,
    UUIDField,
)
from playhouse.postgres_ext import (  # type: ignore[import-untyped] # no stubs
    DateTimeTZField,
)

from models.rows.fields import Table, Transaction, jsonb


class Workflow(Table):
    id = UUIDField(primary_key=True, default=uuid4)
    kind = TextField()
    machine_id = UUIDField()
    site_id = UUIDField()
    run_id = UUIDField(null=True)
    state = TextField()
    lifecycle = BooleanField()
    step = IntegerField()
    attempt = IntegerField()
    outcome = TextField()
    task_id = UUIDField(null=True)
    detail = TextField()
    params = jsonb()
    requested_by = TextField()
    reason = TextField()
    request_id = TextField()
    begun_at = DateTimeTZField()
    deadline_at = DateTimeTZField()
    created_at = DateTimeTZField()
    finished_at = DateTimeTZField(null=True)
    wake_at = DateTimeTZField()
    away_s = DoubleField(default=0.0)
    parent_id = UUIDField(null=True)

    class Meta:
        table_name = "workflows"


class Run(Table):
    id = UUIDField(primary_key=True, default=uuid4)
    machine_id = UUIDField()
    workflow_id = UUIDField()
    epoch = IntegerField()
    plan_version = IntegerField()
    owner_id = UUIDField(null=True)
    phase = TextField()
    receipts = jsonb()
    created_at = DateTimeTZField()
    ended_at = DateTimeTZField(null=True)
    valid_for_s = IntegerField()
    valid_until = DateTimeTZField(null=True)
    withdrawn_at = DateTimeTZField(null=True)
    home_address = TextField(default="")
    hardware_id = TextField(default="")

    class Meta:
        table_name = "runs"


class RunKey(Table):
    """The SSH keys of a run that is not over; *private_key* is a secret."""

    run_id = UUIDField(primary_key=True)
    public_key = TextField()
    private_key = TextField()
    created_at = DateTimeTZField()

    class Meta:
        table_name = "run_keys"


class Plan(Table):
    machine_id = UUIDField(primary_key=True)
    site_id = UUIDField()
    version = IntegerField()
    digest = TextField()
    body = jsonb()
    updated_at = DateTimeTZField()
    changed = Transaction()

    class Meta:
        table_name = "plans"


class Task(Table):
    """A workflow's, and then a machine's, or a sync job's."""

    id = UUIDField(primary_key=True, default=uuid4)
    workflow_id = UUIDField(null=True)
    machine_id = UUIDField(null=True)
    sync_job_id = UUIDField(null=True)
    site_id = UUIDField()
    agent_id = UUIDField()
    kind = TextField()
    params = jsonb()
    epoch = IntegerField()
    attempt = IntegerField()
    state = TextField()
    lease_expires_at = DateTimeTZField(null=True)
    deadline_at = DateTimeTZField()
    result = jsonb(null=True)
    created_at = DateTimeTZField()
    finished_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "tasks"


class Observation(Table):
    id = BigAutoField()
    machine_id = UUIDField(null=True)
    site_id = UUIDField()
    run_id = UUIDField(null=True)
    workflow_id = UUIDField(null=True)
    agent_id = UUIDField(null=True)
    incarnation = TextField(null=True)
    seq = BigIntegerField(null=True)
    source = TextField()
    kind = TextField()
    at = DateTimeTZField()
    received_at = DateTimeTZField()
    applied = BooleanField()
    data = jsonb()

    class Meta:
        table_name = "observations"


class Outbox(Table):
    id = BigAutoField()
    machine_id = UUIDField(null=True)
    seq = BigIntegerField()
    queue = TextField()
    body = BlobField()
    created_at = DateTimeTZField()

    class Meta:
        table_name = "outbox"


class DomainEvent(Table):
    """What other systems are told, in order per machine: *seq* grows under the machine's lock.

    Of a machine, or of a discovery.
    """

    id = BigAutoField()
    machine_id = UUIDField(null=True)
    discovery_id = UUIDField(null=True)
    site_id = UUIDField()
    shard = IntegerField()
    seq = BigIntegerField()
    kind = TextField()
    at = DateTimeTZField()
    request_id = TextField()
    data = jsonb()
    published_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "events"


class AutomationCommand(Table):
    """A command that came by message and how it was answered, so that a repetition does nothing."""

    user_name = TextField()
    message_id = TextField()
    digest = TextField()
    answer = jsonb()
    at = DateTimeTZField()

    class Meta:
        table_name = "automation_commands"
        primary_key = CompositeKey("user_name", "message_id")


class DeadLetter(Table):
    id = UUIDField(primary_key=True, default=uuid4)
    message_id = TextField()
    queue = TextField()
    reason = TextField()
    detail = TextField()
    body = BlobField()
    died_at = DateTimeTZField(null=True)
    kept_at = DateTimeTZField()
    replayed_at = DateTimeTZField(null=True)
    replayed_by = TextField(null=True)

    class Meta:
        table_name = "dead_letters"
