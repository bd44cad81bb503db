"""What is stored.  Private to `models`: rows stay in, frozen values travel.

The schema itself, with its foreign keys, stands in migrations/; these classes map it column by
column, and a test compares the two.
"""

from typing import Any, Final
from uuid import uuid4

from peewee import (
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CompositeKey,
    IntegerField,
    Model,
    TextField,
    UUIDField,
)
from playhouse.postgres_ext import (  # type: ignore[import-untyped] # no stubs
    BinaryJSONField,
    DateTimeTZField,
)
from psycopg2.extras import Json

from models.database import database


class Inet(TextField):
    """An IPv4 address, kept by PostgreSQL as such."""

    field_type = "INET"


class Cidr(TextField):
    """An IPv4 network."""

    field_type = "CIDR"


class Mac(TextField):
    """A MAC address; PostgreSQL returns it in the canonical form."""

    field_type = "MACADDR"


class _Jsonb(BinaryJSONField):  # type: ignore[misc] # its base has no stubs
    def db_value(self, value: Any) -> Any:
        return None if value is None else Json(value)


def jsonb(*, null: bool = False) -> Any:
    """Return a column of plain JSON; Any, since its values are what callers know they are."""
    return _Jsonb(index=False, null=null)


class Table(Model):
    """Base of all tables."""

    class Meta:
        database = database
        legacy_table_names = False


class Stamped(Table):
    """A record that operators edit: *version* is its optimistic lock."""

    version = IntegerField(default=1)
    created_at = DateTimeTZField()
    updated_at = DateTimeTZField()


class Site(Stamped):
    id = UUIDField(primary_key=True, default=uuid4)
    name = TextField()
    slug = TextField()
    labels = jsonb()
    signing_key = BlobField()

    class Meta:
        table_name = "sites"


class Agent(Table):
    id = UUIDField(primary_key=True, default=uuid4)
    site_id = UUIDField()
    hostname = TextField()
    software = TextField()
    speaks = jsonb()
    capabilities = jsonb()
    advertise = jsonb()
    incarnation = TextField()
    plan_digest = TextField()
    clock_offset_ms = IntegerField()
    registered_at = DateTimeTZField()
    last_seen_at = DateTimeTZField()
    contact_since = DateTimeTZField()
    drained = BooleanField()
    snapshot_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "agents"


class Network(Stamped):
    id = UUIDField(primary_key=True, default=uuid4)
    site_id = UUIDField()
    name = TextField()
    cidr = Cidr()
    gateway = Inet(null=True)
    dns = jsonb()
    range_start = Inet()
    range_end = Inet()
    purpose = TextField()
    domain = TextField()
    vlan = IntegerField(null=True)
    mtu = IntegerField(null=True)
    boot_base_url = TextField(null=True)
    pool_start = Inet(null=True)
    pool_end = Inet(null=True)

    class Meta:
        table_name = "networks"


class Range(Table):
    """A slice of a network's dynamic pool, and the one agent that may lease from it."""

    id = UUIDField(primary_key=True, default=uuid4)
    network_id = UUIDField()
    first = Inet()
    last = Inet()
    agent_id = UUIDField()
    cut_at = DateTimeTZField()

    class Meta:
        table_name = "ranges"


class Artifact(Stamped):
    id = UUIDField(primary_key=True, default=uuid4)
    ref = TextField()
    name = TextField()
    backend = TextField()
    base_url = TextField()
    prefix = TextField()

    class Meta:
        table_name = "artifacts"


class Image(Stamped):
    id = UUIDField(primary_key=True, default=uuid4)
    ref = TextField()
    name = TextField()
    architecture = TextField()
    artifact_id = UUIDField()
    installer = TextField()
    kernel_path = TextField()
    initrd_path = TextField()
    image_path = TextField()
    kernel_args = jsonb()
    checksums = jsonb()
    image_bytes = BigIntegerField()

    class Meta:
        table_name = "images"


class Profile(Stamped):
    id = UUIDField(primary_key=True, default=uuid4)
    ref = TextField()
    name = TextField()
    cloud_config_template = TextField()
    ssh_keys = jsonb()

    class Meta:
        table_name = "profiles"


class Machine(Stamped):
    id = UUIDField(primary_key=True, default=uuid4)
    site_id = UUIDField()
    hostname = TextField()
    architecture = TextField()
    labels = jsonb()
    memory_mib = IntegerField(null=True)
    disk_bytes = BigIntegerField(null=True)
    bmc = jsonb(null=True)
    root_disk = jsonb(null=True)
    state = TextField()
    phase = TextField()
    came_from = TextField(null=True)
    failed_from = TextField(null=True)
    commissioned_at = DateTimeTZField(null=True)
    power = TextField()
    facts = jsonb()
    differences = jsonb()
    ssh_host_keys = jsonb()
    image_id = UUIDField(null=True)
    profile_id = UUIDField(null=True)
    network_id = UUIDField(null=True)
    run_id = UUIDField(null=True)
    epoch = IntegerField()
    plan_version = IntegerField()
    event_seq = BigIntegerField()
    fence = IntegerField()

    class Meta:
        table_name = "machines"


class Interface(Table):
    id = UUIDField(primary_key=True, default=uuid4)
    machine_id = UUIDField()
    name = TextField()
    mac = Mac()
    pxe_enabled = BooleanField()
    network_name = TextField(null=True)

    class Meta:
        table_name = "interfaces"


class Allocation(Table):
    id = UUIDField(primary_key=True, default=uuid4)
    network_id = UUIDField()
    machine_id = UUIDField()
    interface_id = UUIDField()
    address = Inet()
    mac = Mac()
    state = TextField()
    created_at = DateTimeTZField()
    released_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "allocations"


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
    valid_until = DateTimeTZField(null=True)
    withdrawn_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "runs"


class Plan(Table):
    machine_id = UUIDField(primary_key=True)
    site_id = UUIDField()
    version = IntegerField()
    digest = TextField()
    body = jsonb()
    updated_at = DateTimeTZField()

    class Meta:
        table_name = "plans"


class Task(Table):
    id = UUIDField(primary_key=True, default=uuid4)
    workflow_id = UUIDField()
    machine_id = UUIDField()
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


class Audit(Table):
    """What was asked, by whom, and how it was answered.  Rows are added, never changed."""

    id = BigAutoField()
    at = DateTimeTZField()
    actor = TextField()
    action = TextField()
    object_kind = TextField()
    object_id = TextField()
    site_id = UUIDField(null=True)
    machine_id = UUIDField(null=True)
    outcome = TextField()
    reason = TextField()
    request_id = TextField()
    source_ip = TextField()
    data = jsonb()

    class Meta:
        table_name = "audit"


class AuditSeal(Table):
    id = BigAutoField()
    first_id = BigIntegerField()
    last_id = BigIntegerField()
    previous = TextField()
    hash = TextField()
    sealed_at = DateTimeTZField()

    class Meta:
        table_name = "audit_seals"


class Outbox(Table):
    id = BigAutoField()
    machine_id = UUIDField(null=True)
    seq = BigIntegerField()
    queue = TextField()
    body = BlobField()
    created_at = DateTimeTZField()

    class Meta:
        table_name = "outbox"


class SignInCode(Table):
    hash = TextField(primary_key=True)
    expires_at = DateTimeTZField()
    used_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "sign_in_codes"


class Key(Table):
    """A key that the deployment made for itself."""

    name = TextField(primary_key=True)
    value = BlobField()

    class Meta:
        table_name = "keys"


class DomainEvent(Table):
    """What other systems are told, in order per machine: *seq* grows under the machine's lock."""

    id = BigAutoField()
    machine_id = UUIDField()
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
    Plan,
    Task,
    Observation,
    Audit,
    AuditSeal,
    Outbox,
    SignInCode,
    Key,
    DomainEvent,
    AutomationCommand,
    DeadLetter,
)
