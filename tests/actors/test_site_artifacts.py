import hashlib
import os

import pytest

from actors.site import sums
from actors.site.artifacts import Artifacts, Unservable
from actors.site.store import AgentStore
from actors.site.sums import CHUNK
from models.bootplan import File
from tests.actors.site_lab import Folder, an_artifact

HALF = b"half" * 1000


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "artifacts"
    path.mkdir()
    return path


@pytest.fixture
def site(tmp_path):
    folder = Folder(tmp_path / "site")
    yield folder
    folder.close()


@pytest.fixture
def shelf(root, site):
    store = AgentStore(site.path)
    yield Artifacts(root, store, site.plans)
    store.close()


def test_a_verified_file_is_given_to_serve_with_its_chunk_list(shelf, root, site):
    content = b"x" * CHUNK + bytes(CHUNK) + HALF
    file = an_artifact(root, "debian/disk.raw", content)

    shelf.admit(file)

    served = site.plans.file("debian/disk.raw")
    assert (served.location, served.sha256) == (root / "debian/disk.raw", file.sha256)
    assert site.plans.chunks("debian/disk.raw").splitlines() == [
        f"sprout-chunks 1 {len(content)} {file.sha256}",
        f"0 {CHUNK} {hashlib.sha256(b'x' * CHUNK).hexdigest()}",
        f"{CHUNK} {CHUNK} zero",
        f"{2 * CHUNK} {len(HALF)} {hashlib.sha256(HALF).hexdigest()}",
    ]


def test_a_file_is_read_once_for_any_number_of_plans(shelf, root, monkeypatch):
    file = an_artifact(root, "kernel", HALF)
    shelf.admit(file)
    monkeypatch.setattr(sums, "read", None)

    shelf.admit(file)


def test_a_file_that_changed_is_read_again(shelf, root, site):
    shelf.admit(an_artifact(root, "kernel", HALF))
    changed = an_artifact(root, "kernel", HALF.upper())

    shelf.admit(changed)

    assert site.plans.file("kernel").sha256 == changed.sha256


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"sha256": "0" * 64}, "has the SHA-256"),
        ({"size": 5}, "has 4000 bytes, the plan says 5"),
        ({"path": "nothing"}, "is not in the artifact folder"),
        ({"path": "."}, "is no file"),
        ({"path": "a\0b"}, "is not in the artifact folder"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(shelf, root, site, wrong, why):
    good = an_artifact(root, "kernel", HALF)
    values = {name: getattr(good, name) for name in ("role", "path", "sha256", "size")} | wrong

    with pytest.raises(Unservable, match=why):
        shelf.admit(File(**values))

    assert site.plans.file(values["path"]) is None


@pytest.mark.parametrize("path", ["../secret", "/etc/hostname", "link", "folder/secret"])
def test_a_path_never_leads_out_of_the_folder(shelf, root, path):
    outside = an_artifact(root.parent, "secret", HALF)
    (root / "link").symlink_to(root.parent / "secret")
    (root / "folder").symlink_to(root.parent)

    with pytest.raises(Unservable, match="artifact folder"):
        shelf.admit(File(role="x", path=path, sha256=outside.sha256))


def test_a_link_inside_the_folder_is_followed(shelf, root, site):
    real = an_artifact(root, "by-hash/abc", HALF)
    (root / "kernel").symlink_to("by-hash/abc")

    shelf.admit(File(role="kernel", path="kernel", sha256=real.sha256))

    assert site.plans.file("kernel").location == root / "by-hash/abc"


def test_a_pipe_does_not_stop_the_agent(shelf, root):
    os.mkfifo(root / "pipe")

    with pytest.raises(Unservable, match="is no file"):
        shelf.admit(File(role="x", path="pipe", sha256="0" * 64))


def test_without_the_folder_nothing_is_served(shelf, root):
    root.rmdir()

    with pytest.raises(Unservable):
        shelf.admit(File(role="x", path="kernel", sha256="0" * 64))
