"""What there is: sites and who serves them, networks, images, machines, addresses."""

from uuid import uuid4

from peewee import (
    BigIntegerField,
    BlobField,
    BooleanField,
    DoubleField,
    IntegerField,
    TextField,
    UUIDField,
)
from playhouse.postgres_ext import (  # type: ignore[import-untyped] # no stubs
    DateTimeTZField,
)

from models.rows.fields import Cidr, Inet, Mac, Stamped, Table, Transaction, jsonb


class Site(Stamped):
    id = UUIDField(primary_key=True, default=uuid4)
    name = TextField()
    slug = TextField()
    labels = jsonb()
    signing_key = BlobField()
    networks_version = BigIntegerField()

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
    reported_at = DateTimeTZField(null=True)
    held_before = Transaction(null=True)
    away_s = DoubleField()
    synced_at = DateTimeTZField(null=True)
    snapshot_at = DateTimeTZField(null=True)
    networks_version = BigIntegerField()
    networks_told_at = DateTimeTZField(null=True)
    lives = jsonb()
    doubled_at = DateTimeTZField(null=True)
    checked = jsonb(null=True)
    checked_at = DateTimeTZField(null=True)

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
    dhcp_mode = TextField()
    ntp = jsonb()
    search = jsonb()
    routes = jsonb()
    lease_s = IntegerField()
    strangers_boot = BooleanField()
    answer_rs = BooleanField()
    loaders = jsonb()
    provider = TextField(default="builtin")
    external_id = TextField(null=True)
    gone_at = DateTimeTZField(null=True)

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
    iso_path = TextField()
    kernel_args = jsonb()
    checksums = jsonb()
    image_bytes = BigIntegerField()
    initrd_bytes = BigIntegerField()
    older_media = BooleanField()
    is_default = BooleanField(default=False)

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
    found_memory_mib = IntegerField(null=True)
    found_disk_bytes = BigIntegerField(null=True)
    bmc = jsonb(null=True)
    root_disk = jsonb(null=True)
    loaders = jsonb()
    server_type = TextField(null=True)
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
    let_go = Transaction(null=True)
    provider = TextField(default="builtin")
    external_id = TextField(null=True)

    class Meta:
        table_name = "allocations"
