"""The schema of first light: inventory, workflows, runs, plans, observations, audit, outbox."""

from typing import Any

# One statement a table, in an order that foreign keys allow.  Times carry a zone; every enum has
# its CHECK; nothing is deleted by cascade.
SCHEMA = """
CREATE TABLE sites (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    slug text NOT NULL UNIQUE,
    labels jsonb NOT NULL DEFAULT '{}',
    signing_key bytea NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE agents (
    id uuid PRIMARY KEY,
    site_id uuid NOT NULL REFERENCES sites,
    hostname text NOT NULL,
    software text NOT NULL,
    speaks jsonb NOT NULL DEFAULT '[]',
    capabilities jsonb NOT NULL DEFAULT '[]',
    advertise jsonb NOT NULL DEFAULT '{}',
    incarnation text NOT NULL,
    plan_digest text NOT NULL DEFAULT '',
    clock_offset_ms integer NOT NULL DEFAULT 0,
    registered_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX agents_site ON agents (site_id, last_seen_at DESC);

CREATE TABLE networks (
    id uuid PRIMARY KEY,
    site_id uuid NOT NULL REFERENCES sites,
    name text NOT NULL,
    cidr cidr NOT NULL,
    gateway inet,
    dns jsonb NOT NULL DEFAULT '[]',
    range_start inet NOT NULL,
    range_end inet NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('provisioning', 'bmc', 'tenant', 'storage')),
    domain text NOT NULL DEFAULT '',
    vlan integer CHECK (vlan BETWEEN 1 AND 4094),
    mtu integer CHECK (mtu BETWEEN 576 AND 9216),
    boot_base_url text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (range_start << cidr AND range_end << cidr AND range_start <= range_end)
);
CREATE UNIQUE INDEX networks_name ON networks (site_id, name);

CREATE TABLE artifacts (
    id uuid PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    name text NOT NULL,
    backend text NOT NULL CHECK (backend IN ('filesystem')),
    base_url text NOT NULL,
    prefix text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE images (
    id uuid PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    name text NOT NULL,
    architecture text NOT NULL CHECK (architecture IN ('x86_64', 'arm64')),
    artifact_id uuid NOT NULL REFERENCES artifacts,
    installer text NOT NULL CHECK (installer IN ('image')),
    kernel_path text NOT NULL,
    initrd_path text NOT NULL,
    image_path text NOT NULL,
    kernel_args jsonb NOT NULL DEFAULT '[]',
    checksums jsonb NOT NULL DEFAULT '{}',
    image_bytes bigint NOT NULL DEFAULT 0,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE profiles (
    id uuid PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    name text NOT NULL,
    cloud_config_template text NOT NULL,
    ssh_keys jsonb NOT NULL DEFAULT '[]',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE machines (
    id uuid PRIMARY KEY,
    site_id uuid NOT NULL REFERENCES sites,
    hostname text NOT NULL CHECK (hostname = lower(hostname)),
    architecture text NOT NULL CHECK (architecture IN ('x86_64', 'arm64')),
    labels jsonb NOT NULL DEFAULT '{}',
    memory_mib integer CHECK (memory_mib > 0),
    disk_bytes bigint CHECK (disk_bytes > 0),
    bmc jsonb,
    root_disk jsonb,
    state text NOT NULL DEFAULT 'registered' CHECK (state IN ('registered', 'commissioning',
        'available', 'allocated', 'provisioning', 'active', 'releasing', 'maintenance',
        'failed', 'retired')),
    phase text NOT NULL DEFAULT 'registered' CHECK (phase IN ('registered', 'pxe_ready',
        'pxe_booted', 'installing', 'installed', 'first_boot', 'joining', 'ready', 'failed')),
    came_from text,
    failed_from text,
    commissioned_at timestamptz,
    power text NOT NULL DEFAULT 'unknown' CHECK (power IN ('unknown', 'on', 'off')),
    facts jsonb NOT NULL DEFAULT '{}',
    differences jsonb NOT NULL DEFAULT '[]',
    ssh_host_keys jsonb NOT NULL DEFAULT '[]',
    image_id uuid REFERENCES images,
    profile_id uuid REFERENCES profiles,
    network_id uuid REFERENCES networks,
    run_id uuid,
    epoch integer NOT NULL DEFAULT 0,
    plan_version integer NOT NULL DEFAULT 0,
    event_seq bigint NOT NULL DEFAULT 0,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX machines_hostname ON machines (site_id, hostname) WHERE state <> 'retired';
CREATE INDEX machines_list ON machines (hostname, id);

CREATE TABLE interfaces (
    id uuid PRIMARY KEY,
    machine_id uuid NOT NULL REFERENCES machines,
    name text NOT NULL,
    mac macaddr NOT NULL UNIQUE,
    pxe_enabled boolean NOT NULL,
    network_name text
);
CREATE UNIQUE INDEX interfaces_name ON interfaces (machine_id, name);

CREATE TABLE allocations (
    id uuid PRIMARY KEY,
    network_id uuid NOT NULL REFERENCES networks,
    machine_id uuid NOT NULL REFERENCES machines,
    interface_id uuid NOT NULL REFERENCES interfaces,
    address inet NOT NULL,
    mac macaddr NOT NULL,
    state text NOT NULL CHECK (state IN ('reserved', 'active', 'released')),
    created_at timestamptz NOT NULL DEFAULT now(),
    released_at timestamptz
);
CREATE UNIQUE INDEX allocations_address ON allocations (network_id, address)
    WHERE state <> 'released';
CREATE UNIQUE INDEX allocations_interface ON allocations (interface_id) WHERE state <> 'released';

CREATE TABLE workflows (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('commission', 'provision', 'power-on', 'power-off',
        'reboot', 'boot-source')),
    machine_id uuid NOT NULL REFERENCES machines,
    site_id uuid NOT NULL REFERENCES sites,
    run_id uuid,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'succeeded', 'failed',
        'cancelled')),
    lifecycle boolean NOT NULL,
    step integer NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0,
    outcome text NOT NULL DEFAULT 'open' CHECK (outcome IN ('open', 'done', 'failed', 'refused')),
    task_id uuid,
    detail text NOT NULL DEFAULT '',
    params jsonb NOT NULL DEFAULT '{}',
    requested_by text NOT NULL,
    reason text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT '',
    begun_at timestamptz NOT NULL DEFAULT now(),
    deadline_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE UNIQUE INDEX workflows_one_lifecycle ON workflows (machine_id)
    WHERE state = 'running' AND lifecycle;
CREATE INDEX workflows_machine ON workflows (machine_id, created_at DESC);
CREATE INDEX workflows_due ON workflows (deadline_at) WHERE state = 'running';

CREATE TABLE runs (
    id uuid PRIMARY KEY,
    machine_id uuid NOT NULL REFERENCES machines,
    workflow_id uuid NOT NULL REFERENCES workflows,
    epoch integer NOT NULL,
    plan_version integer NOT NULL,
    owner_id uuid REFERENCES agents,
    phase text NOT NULL,
    receipts jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    UNIQUE (machine_id, epoch)
);

CREATE TABLE plans (
    machine_id uuid PRIMARY KEY REFERENCES machines,
    site_id uuid NOT NULL REFERENCES sites,
    version integer NOT NULL,
    digest text NOT NULL,
    body jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX plans_site ON plans (site_id);

CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    workflow_id uuid NOT NULL REFERENCES workflows,
    machine_id uuid NOT NULL REFERENCES machines,
    site_id uuid NOT NULL REFERENCES sites,
    agent_id uuid NOT NULL REFERENCES agents,
    kind text NOT NULL,
    params jsonb NOT NULL DEFAULT '{}',
    epoch integer NOT NULL,
    attempt integer NOT NULL,
    state text NOT NULL DEFAULT 'granted' CHECK (state IN ('granted', 'started', 'done', 'failed',
        'abandoned')),
    lease_expires_at timestamptz,
    deadline_at timestamptz NOT NULL,
    result jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX tasks_workflow ON tasks (workflow_id);

CREATE TABLE observations (
    id bigserial PRIMARY KEY,
    machine_id uuid REFERENCES machines,
    site_id uuid NOT NULL REFERENCES sites,
    run_id uuid,
    workflow_id uuid,
    agent_id uuid,
    incarnation text,
    seq bigint,
    source text NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied boolean NOT NULL DEFAULT true,
    data jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX observations_once ON observations (agent_id, incarnation, seq);
CREATE INDEX observations_machine ON observations (machine_id, id);
CREATE INDEX observations_run ON observations (run_id, kind);

CREATE TABLE audit (
    id bigserial PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    action text NOT NULL,
    object_kind text NOT NULL,
    object_id text NOT NULL DEFAULT '',
    site_id uuid,
    machine_id uuid,
    outcome text NOT NULL CHECK (outcome IN ('done', 'refused')),
    reason text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT '',
    source_ip text NOT NULL DEFAULT '',
    data jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_machine ON audit (machine_id, id);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit rows are added, never changed';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

CREATE TABLE audit_seals (
    id bigserial PRIMARY KEY,
    first_id bigint NOT NULL,
    last_id bigint NOT NULL,
    previous text NOT NULL,
    hash text NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE outbox (
    id bigserial PRIMARY KEY,
    machine_id uuid,
    seq bigint NOT NULL DEFAULT 0,
    queue text NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION outbox_wakes_relay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sprout_outbox', '');
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_wakes_relay AFTER INSERT ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_wakes_relay();

CREATE TABLE sign_in_codes (
    hash text PRIMARY KEY,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
"""


def up(migrator: Any, db: Any) -> None:
    """Create everything."""
    db.execute_sql(SCHEMA)
