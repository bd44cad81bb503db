"""A site with as many machines as a test wants, and with what machines leave behind."""

import psycopg2

_ROWS = """
INSERT INTO machines (id, site_id, hostname, architecture, labels)
SELECT gen_random_uuid(), %(site)s, 'fleet-' || lpad(n::text, 6, '0'), 'x86_64',
    jsonb_build_object('role', CASE n %% 2 WHEN 0 THEN 'worker' ELSE 'head' END)
FROM generate_series(1, %(count)s) AS n;
INSERT INTO interfaces (id, machine_id, name, mac, pxe_enabled)
SELECT gen_random_uuid(), id, 'eth0',
    ('02' || lpad(to_hex(row_number() OVER ()), 10, '0'))::macaddr, true
FROM machines WHERE hostname LIKE 'fleet-%%';
INSERT INTO networks (id, site_id, name, cidr, range_start, range_end, purpose)
VALUES (gen_random_uuid(), %(site)s, 'fleet', '10.64.0.0/16', '10.64.0.2', '10.64.255.254',
    'provisioning');
INSERT INTO allocations (id, network_id, machine_id, interface_id, address, mac, state)
SELECT gen_random_uuid(), networks.id, machine_id, interfaces.id,
    '10.64.0.1'::inet + row_number() OVER (), mac, 'active'
FROM interfaces, networks WHERE networks.name = 'fleet';
INSERT INTO workflows (id, kind, machine_id, site_id, lifecycle, requested_by, deadline_at, state)
SELECT gen_random_uuid(), 'power-on', id, site_id, false, 'test', now(), 'succeeded' FROM machines;
INSERT INTO observations (machine_id, site_id, workflow_id, source, kind, at)
SELECT machine_id, site_id, id, 'control', 'asked', now() FROM workflows;
INSERT INTO audit (actor, action, object_kind, site_id, machine_id, outcome)
SELECT 'test', 'machine.create', 'machine', site_id, id, 'done' FROM machines;
INSERT INTO audit_seals (first_id, last_id, ids, previous, hash)
SELECT id, id, ARRAY[id], 'p' || id, 'h' || id FROM audit;
INSERT INTO discoveries (id, site_id, mac, vendor_class, first_seen, last_seen)
SELECT gen_random_uuid(), site_id, ('06' || lpad(to_hex(row_number() OVER ()), 10, '0'))::macaddr,
    '', now(), now() FROM machines;
INSERT INTO dead_letters (id, message_id, queue, reason, detail, body)
SELECT gen_random_uuid(), id, 'sprout.reports.1', 'rejected', '', '' FROM machines;
INSERT INTO agents (id, site_id, hostname, software, incarnation)
SELECT gen_random_uuid(), site_id, hostname, '1', '' FROM machines;
INSERT INTO artifacts (id, ref, name, backend, base_url, prefix)
SELECT gen_random_uuid(), hostname, hostname, 'filesystem', '', '' FROM machines;
INSERT INTO images (id, ref, name, architecture, artifact_id, installer, kernel_path, initrd_path,
    image_path)
SELECT gen_random_uuid(), ref, ref, 'x86_64', id, 'image', 'k', 'i', 'd' FROM artifacts;
INSERT INTO profiles (id, ref, name, cloud_config_template)
SELECT gen_random_uuid(), ref, ref, '#cloud-config' FROM artifacts;
INSERT INTO sync_jobs (id, site_id, artifact_id, mode, requested_by)
SELECT gen_random_uuid(), %(site)s, id, 'preseed', 'test' FROM artifacts;
INSERT INTO integration_jobs (id, site_id, name, kind, provider, endpoint)
SELECT gen_random_uuid(), %(site)s, ref, 'metadata-export', 'webhook', 'http://x' FROM artifacts;
INSERT INTO integration_runs (id, job_id, requested_by)
SELECT gen_random_uuid(), id, 'test' FROM integration_jobs;
INSERT INTO events (machine_id, site_id, shard, seq, kind)
SELECT id, site_id, 0, 1, 'registered' FROM machines;
"""


def enter(database_url, site_id, count):
    """Have *count* machines at the site, called fleet-000001 and so on; write past the API."""
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(_ROWS, {"site": site_id, "count": count})
    connection.close()


def clear(database_url):
    """Have no machine, and nothing that is of one; the audit stays, which nobody can take away."""
    gone = "machines, agents, images, artifacts, profiles, networks, discoveries, dead_letters,"
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {gone} integration_jobs CASCADE")
        cursor.execute("TRUNCATE observations")
        cursor.execute("ALTER TABLE audit_seals DISABLE TRIGGER USER; DELETE FROM audit_seals")
    connection.close()
