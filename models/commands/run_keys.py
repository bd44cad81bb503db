"""The pair of SSH keys of one run: made with it, and gone from here when the run has ended.

The host is given the public half by its answer; whoever logs in by the other half takes the key
from the host again.
"""

from uuid import UUID

from config.secrets import Secret
from models.tables import RunKey


def made(run_id: UUID) -> str:
    """Make the pair of a run; return its public half as authorized_keys has it."""
    # Large, and the edge loads this module and makes no key.
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    key = Ed25519PrivateKey.generate()
    public = (
        key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()
    )
    private = key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()
    ).decode()
    comment = f"sprout-run-{run_id}"
    RunKey.create(run_id=run_id, public_key=f"{public} {comment}", private_key=private)
    return f"{public} {comment}"


def private(run_id: UUID) -> Secret | None:
    """Return the private half in OpenSSH's form; None where there is none, or no more."""
    row: RunKey | None = RunKey.get_or_none(RunKey.run_id == run_id)
    return None if row is None else Secret(row.private_key)


def forget(run_id: UUID) -> None:
    """Take both halves from the database."""
    RunKey.delete().where(RunKey.run_id == run_id).execute()
