import stat
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_public_identity

from actors.site import authority

KEY = b"k" * 32


def test_an_authority_is_made_once_and_nobody_else_can_read_it(tmp_path):
    first = authority.opened(tmp_path, KEY)
    again = authority.opened(tmp_path, KEY)

    (file,) = tmp_path.iterdir()
    assert first.public == again.public
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in file.read_bytes()


def test_a_login_is_of_a_fresh_key_for_one_machine_and_some_minutes(tmp_path):
    known, machine = authority.opened(tmp_path, KEY), uuid4()

    first, second = known.login(machine, "task 1"), known.login(machine, "task 1")

    certificate = load_ssh_public_identity(first.certificate.encode())
    certificate.verify_cert_signature()
    assert certificate.valid_principals == [f"sprout-{machine}".encode()]
    assert certificate.valid_before - certificate.valid_after == 600
    assert (certificate.extensions, certificate.critical_options) == ({}, {})
    assert certificate.serial == first.serial != second.serial
    assert first.private_key != second.private_key
    assert first.private_key.reveal() not in repr(first)


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\n"])
def test_one_that_cannot_be_opened_is_left_as_it_is_and_no_other_is_made(tmp_path, content):
    authority.opened(tmp_path, KEY)
    (file,) = tmp_path.iterdir()
    if content is not None:
        file.write_bytes(content)
    before = file.read_bytes()

    assert authority.opened(tmp_path, KEY if content is not None else b"x" * 32) is None
    assert file.read_bytes() == before
