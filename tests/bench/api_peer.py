"""The same duties on FastAPI and asyncpg, as one would write them: the peer of the API's figures.

Runs in a venv of its own, and on the same tables.  PEER_DATABASE, PEER_ISSUER, PEER_AUDIENCE and
PEER_KEY (of boot tokens) say where, whose tokens, and for whom.
"""

import hashlib
import hmac
import json
import os
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.request import urlopen
from uuid import UUID, uuid4

import asyncpg
import jwt
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

ISSUER, AUDIENCE = os.environ["PEER_ISSUER"], os.environ["PEER_AUDIENCE"]
KEY = bytes.fromhex(os.environ["PEER_KEY"])
RANKS = {"viewer": 0, "operator": 1, "admin": 2}
SCRIPT = """#!ipxe
set base {base}
kernel ${{base}}/vmlinuz initrd=initrd.img sprout.mac={mac} sprout.hostname={hostname} ip={address}
initrd ${{base}}/initrd.img
boot || goto failed
:failed
echo {hostname}: the boot failed
sleep 30
exit 1
"""


class Out(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Interface(Out):
    id: UUID
    name: str
    mac_address: str
    pxe_enabled: bool
    network_name: str | None
    address: str | None


class Workflow(Out):
    id: UUID
    kind: str
    machine_id: UUID
    site_id: UUID
    state: str
    step_index: int
    attempt: int
    detail: str
    params: dict[str, Any]
    requested_by: str
    reason: str
    request_id: str
    begun_at: datetime
    deadline_at: datetime
    created_at: datetime
    finished_at: datetime | None


class Machine(Out):
    id: UUID
    site_id: UUID
    site_slug: str
    hostname: str
    architecture: str
    labels: dict[str, str]
    memory_mib: int | None
    disk_bytes: int | None
    bmc: dict[str, Any] | None
    root_disk: dict[str, Any] | None
    interfaces: list[Interface]
    state: str
    phase: str
    failed_from: str | None
    commissioned_at: datetime | None
    power: str
    facts: dict[str, Any]
    differences: list[Any]
    ssh_host_keys: list[str]
    image_ref: str | None
    profile_ref: str | None
    network_id: UUID | None
    run_id: UUID | None
    workflow: Workflow | None
    version: int
    created_at: datetime
    updated_at: datetime


class Machines(Out):
    items: list[Machine]
    next: str | None


class Ask(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reason: str = ""


class Pool:
    """What lives as long as the process."""

    connections: asyncpg.Pool
    keys: dict[str, Any]
    known: dict[str, tuple[float, dict[str, int]]]


def keys() -> dict[str, Any]:
    with urlopen(f"{ISSUER}/keys") as answer:  # noqa: S310 - our own, on loopback
        return {key["kid"]: jwt.PyJWK(key).key for key in json.load(answer)["keys"]}


@asynccontextmanager
async def lifespan(_: FastAPI):
    Pool.keys, Pool.known = keys(), {}
    async with asyncpg.create_pool(
        os.environ["PEER_DATABASE"], min_size=8, max_size=8, init=prepared
    ) as Pool.connections:
        yield


async def prepared(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
        )


app = FastAPI(lifespan=lifespan)


def caller(authorization: str = Header()) -> dict[str, int]:
    """Return the rank of who asks at each site, by its slug."""
    token = authorization.removeprefix("Bearer ")
    until, ranks = Pool.known.get(token, (0.0, {}))
    if until <= time.time():
        until, ranks = judged(token)
        Pool.known[token] = until, ranks
    return ranks


Ranks = Annotated[dict[str, int], Depends(caller)]


def judged(token: str) -> tuple[float, dict[str, int]]:
    try:
        key = Pool.keys[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key, ["RS256"], audience=AUDIENCE, issuer=ISSUER)
    except (jwt.PyJWTError, KeyError) as exc:
        raise HTTPException(401) from exc
    words = [group.split(":") for group in claims["groups"]]
    return claims["exp"], {word[1]: RANKS[word[2]] for word in words if len(word) == 3}


def sites(ranks: dict[str, int], least: str) -> list[str]:
    return [slug for slug, rank in ranks.items() if rank >= RANKS[least]]


MACHINE = """
SELECT m.*, s.slug AS site_slug, i.ref AS image_ref, p.ref AS profile_ref
FROM machines m JOIN sites s ON s.id = m.site_id
LEFT JOIN images i ON i.id = m.image_id LEFT JOIN profiles p ON p.id = m.profile_id
"""
INTERFACES = """
SELECT i.*, i.mac::text AS mac_address, host(a.address) AS address
FROM interfaces i LEFT JOIN allocations a ON a.interface_id = i.id AND a.state <> 'released'
WHERE i.machine_id = ANY($1) ORDER BY i.name
"""
WORKFLOWS = """
SELECT DISTINCT ON (machine_id) *, step AS step_index FROM workflows
WHERE machine_id = ANY($1) AND parent_id IS NULL ORDER BY machine_id, created_at DESC
"""


async def shown(connection: asyncpg.Connection, rows: list[asyncpg.Record]) -> list[Machine]:
    ids = [row["id"] for row in rows]
    interfaces: dict[UUID, list[Any]] = {}
    for row in await connection.fetch(INTERFACES, ids):
        interfaces.setdefault(row["machine_id"], []).append(dict(row))
    flows = {row["machine_id"]: dict(row) for row in await connection.fetch(WORKFLOWS, ids)}
    return [
        Machine.model_validate(
            dict(row)
            | {"interfaces": interfaces.get(row["id"], ()), "workflow": flows.get(row["id"])}
        )
        for row in rows
    ]


@app.get("/v1/machines/{machine}")
async def show(machine: UUID, ranks: Ranks) -> Machine:
    async with Pool.connections.acquire() as connection:
        where = f"{MACHINE} WHERE m.id = $1 AND s.slug = ANY($2)"
        rows = await connection.fetch(where, machine, sites(ranks, "viewer"))
        if not rows:
            raise HTTPException(404)
        return (await shown(connection, rows))[0]


@app.get("/v1/machines")
async def index(ranks: Ranks, limit: int = 100, after: str = "") -> Machines:
    async with Pool.connections.acquire() as connection:
        where = f"{MACHINE} WHERE s.slug = ANY($1) AND m.hostname > $2 ORDER BY m.hostname, m.id"
        rows = await connection.fetch(f"{where} LIMIT $3", sites(ranks, "viewer"), after, limit + 1)
        items = await shown(connection, rows[:limit])
    return Machines(items=items, next=items[-1].hostname if len(rows) > limit else None)


@app.post("/v1/machines/{machine}/power-on", status_code=202)
async def power_on(machine: UUID, body: Ask, response: Response, ranks: Ranks) -> Workflow:
    async with Pool.connections.acquire() as connection, connection.transaction():
        flow = await begun(connection, machine, body, sites(ranks, "operator"))
    response.headers["Location"] = f"/v1/workflows/{flow['id']}"
    return Workflow.model_validate(dict(flow))


async def begun(
    connection: asyncpg.Connection, machine: UUID, body: Ask, slugs: list[str]
) -> asyncpg.Record:
    where = f"{MACHINE} WHERE m.id = $1 AND s.slug = ANY($2) FOR NO KEY UPDATE OF m"
    row = await connection.fetchrow(where, machine, slugs)
    if row is None:
        raise HTTPException(404)
    agent = await connection.fetchrow(
        "SELECT id FROM agents WHERE site_id = $1 AND last_seen_at > $2 LIMIT 1",
        *(row["site_id"], datetime.now(UTC) - timedelta(seconds=30)),
    )
    busy = await connection.fetchrow(
        "SELECT id FROM workflows WHERE machine_id = $1 AND state = 'running' AND lifecycle",
        machine,
    )
    if agent is None or busy is not None or row["state"] == "retired":
        raise HTTPException(409)
    return await written(connection, row, body.reason)


async def written(
    connection: asyncpg.Connection, machine: asyncpg.Record, reason: str
) -> asyncpg.Record:
    at, who, ask = datetime.now(UTC), "ada", uuid4().hex
    place = (machine["id"], machine["site_id"])
    decision = uuid4()
    await connection.execute(
        "INSERT INTO policy_decisions (id, at, actor, action, machine_id, site_id, allowed, rule,"
        " reason, would_change, inputs, policy, request_id)"
        " VALUES ($1, $2, $3, 'power-on', $4, $5, true, 'default', 'allowed', '', $6, 'p', $7)",
        *(decision, at, who, *place, {"actor": who, "hostname": machine["hostname"]}, ask),
    )
    flow = await connection.fetchrow(
        "INSERT INTO workflows (id, kind, machine_id, site_id, state, lifecycle, step, attempt,"
        " outcome, detail, params, requested_by, reason, request_id, begun_at, deadline_at,"
        " wake_at) VALUES ($1, 'power-on', $2, $3, 'running', false, 0, 0, 'open', '', '{}', $4,"
        " $5, $6, $7, $8, $8) RETURNING *, step AS step_index",
        *(uuid4(), *place, who, reason, ask, at, at + timedelta(seconds=60)),
    )
    told = {"verb": "power-on", "by": who, "reason": reason, "workflow": str(flow["id"])}
    await connection.execute(
        "INSERT INTO observations (machine_id, site_id, workflow_id, source, kind, at, data)"
        " VALUES ($1, $2, $3, 'operator', 'asked', $4, $5)",
        *(*place, flow["id"], at, told),
    )
    await connection.execute("SELECT pg_notify('sprout_events', $1)", str(machine["id"]))
    await connection.execute(
        "INSERT INTO audit (actor, action, object_kind, object_id, site_id, machine_id, outcome,"
        " reason, request_id, source_ip, data)"
        " VALUES ($1, 'machine.power-on', 'machine', $2, $4, $3, 'done', $5, $6, '127.0.0.1', $7)",
        *(who, str(machine["id"]), *place, reason, ask, told),
    )
    seq = machine["event_seq"] + 1
    await connection.execute("UPDATE machines SET event_seq = $2 WHERE id = $1", machine["id"], seq)
    await connection.execute(
        "INSERT INTO events (machine_id, site_id, shard, seq, kind, request_id, data)"
        " VALUES ($1, $2, $3, $4, 'workflow-begun', $5, $6)",
        *(*place, machine["id"].int % 16, seq, ask, told),
    )
    message = json.dumps({"actor_name": "advance", "kwargs": {"workflow": str(flow["id"])}})
    await connection.execute(
        "INSERT INTO outbox (machine_id, seq, queue, body) VALUES ($1, 0, 'sprout.control.1', $2)",
        *(machine["id"], message.encode()),
    )
    await connection.execute(
        "INSERT INTO action_executions (id, action, machine_id, site_id, workflow_id, decision_id,"
        " parameters, requested_by, reason) VALUES ($1, 'power-on', $2, $3, $4, $5, '{}', $6, $7)",
        *(uuid4(), *place, flow["id"], decision, who, reason),
    )
    return flow


@app.get("/boot/{machine}/{token}/script")
async def script(machine: UUID, token: str) -> Response:
    wanted = hmac.new(KEY, machine.bytes, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted, token):
        raise HTTPException(404)
    async with Pool.connections.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(
            "SELECT m.id, m.site_id, m.hostname, i.mac::text AS mac FROM machines m"
            " JOIN interfaces i ON i.machine_id = m.id WHERE m.id = $1",
            machine,
        )
        if row is None:
            raise HTTPException(404)
        await connection.execute(
            "INSERT INTO observations (machine_id, site_id, source, kind, at, data)"
            " VALUES ($1, $2, 'http', 'script-served', $3, '{}')",
            *(row["id"], row["site_id"], datetime.now(UTC)),
        )
    told = SCRIPT.format(base="http://boot", address="10.77.0.9", **dict(row))
    return Response(told, media_type="text/plain")
