"""How DHCP answers on a network, what agents were told of it, and machines nobody entered."""

from typing import Any

# A version of networks is a time in microseconds: also one that was restored from a backup is
# followed by higher ones.
SCHEMA = """
ALTER TABLE networks ADD COLUMN dhcp_mode text NOT NULL DEFAULT 'reserved'
    CHECK (dhcp_mode IN ('full', 'reserved', 'proxy', 'off'));
ALTER TABLE networks ADD COLUMN ntp jsonb NOT NULL DEFAULT '[]';
ALTER TABLE networks ADD COLUMN search jsonb NOT NULL DEFAULT '[]';
ALTER TABLE networks ADD COLUMN routes jsonb NOT NULL DEFAULT '[]';
ALTER TABLE networks ADD COLUMN lease_s integer NOT NULL DEFAULT 3600
    CHECK (lease_s BETWEEN 60 AND 86400);
ALTER TABLE networks ADD COLUMN strangers_boot boolean NOT NULL DEFAULT false;
ALTER TABLE networks ADD COLUMN answer_rs boolean NOT NULL DEFAULT false;
ALTER TABLE networks ADD CONSTRAINT networks_full CHECK (
    dhcp_mode <> 'full' OR pool_start IS NOT NULL);

ALTER TABLE sites ADD COLUMN networks_version bigint NOT NULL DEFAULT 0;
UPDATE sites SET networks_version = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    WHERE id IN (SELECT site_id FROM networks);
ALTER TABLE agents ADD COLUMN networks_version bigint NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN networks_told_at timestamptz;

CREATE TABLE discoveries (
    id uuid PRIMARY KEY,
    site_id uuid NOT NULL REFERENCES sites,
    mac macaddr NOT NULL,
    state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'accepted', 'ignored')),
    smbios_uuid uuid,
    arch integer CHECK (arch BETWEEN 0 AND 65535),
    vendor_class text NOT NULL DEFAULT '',
    relay inet,
    address inet,
    agent_id uuid,
    times bigint NOT NULL DEFAULT 1,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    machine_id uuid REFERENCES machines,
    decided_by text NOT NULL DEFAULT '',
    decided_at timestamptz,
    event_seq bigint NOT NULL DEFAULT 0,
    CHECK ((state = 'accepted') = (machine_id IS NOT NULL))
);
CREATE UNIQUE INDEX discoveries_mac ON discoveries (site_id, mac);
CREATE INDEX discoveries_list ON discoveries (first_seen, id);
CREATE INDEX discoveries_oldest ON discoveries (site_id, last_seen);

CREATE TABLE discovery_drops (
    site_id uuid PRIMARY KEY REFERENCES sites,
    dropped bigint NOT NULL DEFAULT 0,
    last_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE events ALTER COLUMN machine_id DROP NOT NULL;
ALTER TABLE events ADD COLUMN discovery_id uuid;
ALTER TABLE events ADD CONSTRAINT events_subject CHECK (
    (machine_id IS NULL) <> (discovery_id IS NULL));
CREATE UNIQUE INDEX events_order_of_discovery ON events (discovery_id, seq)
    WHERE discovery_id IS NOT NULL;
"""


def up(migrator: Any, db: Any) -> None:
    """Add what the boot plane needs."""
    db.execute_sql(SCHEMA)
