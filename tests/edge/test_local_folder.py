"""The data folder: who may read it, who holds it, what it keeps."""

import socket
import stat

import pytest

from edge.cli.local.folder import AlreadyRunning, Folder


def test_only_its_owner_can_read_the_folder_and_its_secrets(tmp_path):
    folder = Folder(tmp_path / "deep" / "data")
    folder.secret("admin_token")

    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in [folder.path, *folder.path.iterdir()]}

    assert modes == {"data": 0o700, "log": 0o700, "secrets.json": 0o600}


def test_a_secret_is_long_made_once_and_its_own(tmp_path):
    first = Folder(tmp_path).secret("admin_token")

    again = Folder(tmp_path)

    assert len(first) >= 43
    assert again.secret("admin_token") == first
    assert again.secret("session_key") != first


def test_a_second_holder_is_refused_with_the_pid_of_the_first(tmp_path):
    with Folder(tmp_path).held():
        (tmp_path / "lock").write_text("4711\n")  # as if another process held it

        with (
            pytest.raises(AlreadyRunning, match="running as process 4711"),
            Folder(tmp_path).held(),
        ):
            pass


def test_the_folder_is_free_again_when_its_holder_has_let_go(tmp_path):
    with Folder(tmp_path).held():
        pass

    with Folder(tmp_path).held() as folder:
        assert folder.path == tmp_path


def test_a_port_is_kept_between_starts(tmp_path):
    first = Folder(tmp_path).port("postgres")

    assert Folder(tmp_path).port("postgres") == first


def test_a_port_that_somebody_took_meanwhile_is_exchanged(tmp_path):
    first = Folder(tmp_path).port("postgres")

    with socket.create_server(("127.0.0.1", first)):
        second = Folder(tmp_path).port("postgres")

    assert second != first


def test_two_names_never_get_the_same_port(tmp_path):
    folder = Folder(tmp_path)

    assert len({folder.port(f"server-{n}") for n in range(20)}) == 20
