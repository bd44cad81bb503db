"""Who comes in: tokens of programs, sessions of browsers, and passwords that were tried."""

from typing import Any

# Of a token and of a cookie only a hash is kept.  A token's sites are a list: a site that is gone
# comes back under no id, so a dangling one gives nothing.
SCHEMA = """
CREATE TABLE api_tokens (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    hash text NOT NULL UNIQUE CHECK (hash ~ '^[0-9a-f]{64}$'),
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    sites jsonb CHECK (sites IS NULL OR jsonb_typeof(sites) = 'array'),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text NOT NULL DEFAULT '',
    CHECK (expires_at > created_at)
);
CREATE INDEX api_tokens_list ON api_tokens (created_at DESC, id DESC);

CREATE TABLE sessions (
    hash text PRIMARY KEY CHECK (hash ~ '^[0-9a-f]{64}$'),
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_old ON sessions (expires_at);

CREATE TABLE login_attempts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX login_attempts_at ON login_attempts (at);
"""


def up(migrator: Any, db: Any) -> None:
    """Add the three tables."""
    db.execute_sql(SCHEMA)
