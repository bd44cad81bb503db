"""What was judged, approved and begun of the verbs on machines."""

from uuid import uuid4

from peewee import BooleanField, TextField, UUIDField
from playhouse.postgres_ext import (  # type: ignore[import-untyped] # no stubs
    DateTimeTZField,
)

from models.rows.fields import Table, jsonb


class PolicyDecision(Table):
    """How policy judged one request.  Rows are added, never changed."""

    id = UUIDField(primary_key=True, default=uuid4)
    at = DateTimeTZField()
    actor = TextField()
    action = TextField()
    machine_id = UUIDField(null=True)
    site_id = UUIDField()
    allowed = BooleanField()
    rule = TextField()
    reason = TextField()
    would_change = TextField()
    approval_id = UUIDField(null=True)
    inputs = jsonb()
    policy = TextField()
    request_id = TextField()

    class Meta:
        table_name = "policy_decisions"


class Approval(Table):
    """A person's word for one action on one machine; good once, and until it expires."""

    id = UUIDField(primary_key=True, default=uuid4)
    machine_id = UUIDField()
    site_id = UUIDField()
    action = TextField()
    decision = TextField()
    reason = TextField()
    decided_by = TextField()
    person = TextField()
    role = TextField(null=True)
    parameters = jsonb(null=True)
    parameters_sha256 = TextField(null=True)
    receipts = jsonb(null=True)
    created_at = DateTimeTZField()
    expires_at = DateTimeTZField()
    used_at = DateTimeTZField(null=True)
    used_by = TextField(null=True)
    workflow_id = UUIDField(null=True)

    class Meta:
        table_name = "approvals"


class ActionExecution(Table):
    """One verb that was let through; its workflow says how it goes."""

    id = UUIDField(primary_key=True, default=uuid4)
    action = TextField()
    machine_id = UUIDField()
    site_id = UUIDField()
    workflow_id = UUIDField()
    approval_id = UUIDField(null=True)
    decision_id = UUIDField()
    parameters = jsonb()
    requested_by = TextField()
    reason = TextField()
    created_at = DateTimeTZField()

    class Meta:
        table_name = "action_executions"
