"""What is asked of sites beside machines, and what was answered to whom."""

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

from models.rows.fields import Stamped, Table, jsonb


class IdempotencyKey(Table):
    """One request by one caller: *asked* is its digest; *body* is null where none is kept."""

    caller = TextField()
    key = TextField()
    asked = BlobField()
    status = IntegerField(null=True)
    headers = jsonb()
    body = BlobField(null=True)
    created_at = DateTimeTZField()
    expires_at = DateTimeTZField()

    class Meta:
        table_name = "idempotency_keys"
        primary_key = CompositeKey("caller", "key")


class SyncJob(Table):
    """*agent_id* is who has, or had, its task; *fence* the epoch of the newest one."""

    id = UUIDField(primary_key=True, default=uuid4)
    site_id = UUIDField()
    artifact_id = UUIDField()
    mode = TextField()
    state = TextField()
    detail = TextField()
    files_done = IntegerField()
    files_total = IntegerField(null=True)
    bytes_done = BigIntegerField()
    bytes_total = BigIntegerField(null=True)
    agent_id = UUIDField(null=True)
    task_id = UUIDField(null=True)
    fence = IntegerField()
    attempt = IntegerField()
    wake_at = DateTimeTZField()
    deadline_at = DateTimeTZField()
    findings = jsonb()
    requested_by = TextField()
    reason = TextField()
    request_id = TextField()
    created_at = DateTimeTZField()
    finished_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "sync_jobs"


class Preparation(Table):
    """An installer's ISO on its way to become an image; *parts* are SHA-256s by file name."""

    id = UUIDField(primary_key=True, default=uuid4)
    ref = TextField()
    name = TextField()
    iso_sha256 = TextField()
    iso_path = TextField()
    state = TextField()
    detail = TextField()
    bytes_done = BigIntegerField()
    bytes_total = BigIntegerField()
    release = TextField()
    parts = jsonb()
    image_id = UUIDField(null=True)
    requested_by = TextField()
    request_id = TextField()
    created_at = DateTimeTZField()
    finished_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "preparations"


class IntegrationJob(Stamped):
    id = UUIDField(primary_key=True, default=uuid4)
    site_id = UUIDField()
    name = TextField()
    kind = TextField()
    provider = TextField()
    endpoint = TextField()
    secret_ref = TextField(null=True)
    etag = TextField()

    class Meta:
        table_name = "integration_jobs"


class IntegrationRun(Table):
    id = UUIDField(primary_key=True, default=uuid4)
    job_id = UUIDField()
    state = TextField()
    detail = TextField()
    records = IntegerField()
    dry_run = BooleanField()
    result = jsonb()
    requested_by = TextField()
    reason = TextField()
    request_id = TextField()
    created_at = DateTimeTZField()
    finished_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "integration_runs"


class IntegrationDelivery(Table):
    """One try to hand over a part of a run; *status* 0: no answer, and *excerpt* says why."""

    id = BigAutoField()
    run_id = UUIDField()
    part = IntegerField()
    attempt = IntegerField()
    what = TextField()
    status = IntegerField()
    ms = DoubleField()
    excerpt = TextField()
    at = DateTimeTZField()

    class Meta:
        table_name = "integration_deliveries"
