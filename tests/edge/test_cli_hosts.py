"""`sprout hosts` and `sprout isos` against a running edge."""

import hashlib
import json
import math
from uuid import UUID

import pytest

from actors.control import errands as runner
from actors.drivers.deadline import Deadline
from models import queries
from models.commands import errands, outcomes
from models.database import borrowed
from models.errands import Errand
from models.tables import Workflow
from tests.actors.installer_isos import an_iso
from tests.conftest import copied
from tests.edge.conftest import serving, variables
from tests.edge.test_cli import NETWORK, SITE, sprout
from tests.edge.test_cli_waits import begun
from tests.edge.test_hosts import TYPES
from tests.models import make

__all__ = ["sprout"]

pytestmark = pytest.mark.services

REGISTER = ("hosts", "register", "--mac", "52:54:00:aa:00:01", "--server-type", "ms-01")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("edge")
    (made / "artifacts").mkdir()
    (made / "server-types.yaml").write_text(TYPES)
    return made


@pytest.fixture(scope="module")
def served(postgres, migrated, folder):
    more = {
        "SPROUT_SERVER_TYPES_FILE": str(folder / "server-types.yaml"),
        "SPROUT_BLOB_DIR": str(folder / "blobs"),
        "SPROUT_ARTIFACT_DIR": str(folder / "artifacts"),
        "SPROUT_PROXMOX_ROOT_PASSWORD_HASH": "$6$salt$" + "h" * 86,
    }
    with (
        copied(postgres, migrated) as url,
        serving(variables(url, folder) | more, folder) as edge,
    ):
        yield edge


@pytest.fixture(scope="module")
def control(folder, served):
    """Do the errand that waits, as a control process does."""
    means = runner.Means(blob_dir=folder / "blobs", artifact_dir=folder / "artifacts")

    def work():
        with borrowed():
            held = errands.take([Errand.IMAGE_PREPARE])
        job = runner.Job(held, Deadline.after(held.left_s), math.inf)
        ended = runner.Runner(means)._done(job)
        with borrowed():
            outcomes.settle(held, ended, make.render)

    return work


@pytest.fixture(scope="module")
def site(sprout):
    for words in (SITE, NETWORK):
        assert sprout(*words).returncode == 0


@pytest.fixture(scope="module")
def iso(tmp_path_factory):
    return an_iso(tmp_path_factory.mktemp("iso") / "proxmox-ve.iso")


@pytest.fixture(scope="module")
def image(sprout, iso, control):
    """An image of a vendor's ISO, made by the command line alone."""
    uploaded = sprout("isos", "upload", str(iso), "--ref", "pve-9")
    assert uploaded.returncode == 0, uploaded.stderr
    control()
    return uploaded


@pytest.fixture(scope="module")
def host(sprout, site):
    made = sprout(*REGISTER, "--hostname", "pve-01")
    assert made.returncode == 0, made.stderr
    return made


def shown(sprout, *words):
    done = sprout(*words, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_host_is_registered_by_three_words_and_prints_its_id_alone(sprout, host):
    assert str(UUID(host.stdout.strip())) == host.stdout.strip()
    assert "next: sprout hosts rebuild pve-01 --wait" in host.stderr
    found = shown(sprout, "hosts", "show", "pve-01")
    assert (found["state"], found["server_type"]) == ("registered", "ms-01")
    assert found["id"] == host.stdout.strip()


def test_what_is_wrong_of_a_host_is_told_at_its_field(sprout, host):
    taken = sprout(*REGISTER, "--hostname", "PVE-01")
    unknown = sprout(*REGISTER[:-1], "zx-81", "--hostname", "pve-09")

    assert (taken.returncode, unknown.returncode) == (3, 3)
    assert "/hostname" in taken.stderr
    assert "zx-81" in unknown.stderr


def test_hosts_are_listed_with_their_states(sprout, host):
    told = sprout("hosts", "list", "--search", "pve-0").stdout

    assert told.splitlines()[0].split()[:2] == ["HOSTNAME", "STATE"]
    assert "registered" in told
    assert shown(sprout, "hosts", "list", "--search", "nobody") == []


def test_a_host_of_which_nothing_was_asked_is_not_watched(sprout, host):
    sprout(*REGISTER[:2], "--mac", "52:54:00:aa:00:02", *REGISTER[-2:], "--hostname", "pve-02")

    done = sprout("hosts", "watch", "pve-02")
    gone = sprout("hosts", "delete", "pve-02")

    assert (done.returncode, done.stdout) == (1, "")
    assert "sprout hosts rebuild pve-02" in done.stderr
    assert (gone.returncode, gone.stdout) == (0, "")
    assert sprout("hosts", "show", "pve-02").returncode == 3
    assert "sprout hosts list" in sprout("hosts", "show", "pve-02").stderr


def test_an_iso_is_uploaded_prepared_and_named_by_its_image(sprout, image, iso):
    assert "uploading proxmox-ve.iso: 100 %" in image.stderr
    (found,) = shown(sprout, "isos", "list")
    assert (found["ref"], found["state"]) == ("pve-9", "succeeded")
    assert found["isoSha256"] == hashlib.sha256(iso.read_bytes()).hexdigest()
    watched = sprout("isos", "watch", image.stdout.strip())
    assert watched.stdout.strip() == found["imageId"]
    assert f"image pve-9: Proxmox VE {found['release']}" in watched.stderr
    assert shown(sprout, "images", "show", "pve-9")["installer"] == "proxmox"


def test_an_iso_that_is_there_is_not_sent_again(sprout, image, iso):
    again = sprout("isos", "upload", str(iso))

    assert again.stdout.strip() == hashlib.sha256(iso.read_bytes()).hexdigest()
    assert f"--sha256 {again.stdout.strip()}" in again.stderr


def test_what_is_no_iso_of_proxmox_is_told_with_its_reason(sprout, control, tmp_path, site):
    (other := tmp_path / "other.iso").write_bytes(b"no ISO" * 9999)
    with begun(sprout, "isos", "upload", str(other), "--ref", "no", "--wait", home=tmp_path) as run:
        for line in run.stderr:
            if line.startswith("waiting"):
                break
        control()
        out, err = run.communicate(timeout=100)

    assert (run.returncode, out) == (1, "")
    assert "sprout: no failed: " in err
    assert "More: sprout isos show" in err


def test_a_file_that_is_not_there_or_empty_is_told(sprout, tmp_path):
    (empty := tmp_path / "empty.iso").touch()

    gone = sprout("isos", "upload", str(tmp_path / "gone.iso"))
    nothing = sprout("isos", "upload", str(empty))
    folder = sprout("isos", "upload", str(tmp_path))

    assert "No such file" in gone.stderr
    assert "is empty" in nothing.stderr
    assert [each.returncode for each in (gone, nothing, folder)] == [1, 1, 2]


def test_a_rebuild_is_asked_for_watched_and_cancelled(sprout, host, image, tmp_path, served):
    with borrowed():
        make.Agent(queries.site("ams-1").id, capabilities=("http",))
    with begun(sprout, "hosts", "rebuild", "pve-01", "--wait", home=tmp_path) as waiting:
        operation = waiting.stdout.readline().strip()
        assert operation, waiting.stderr.read()
        first = shown(sprout, "hosts", "show", "pve-01")
        cancelled = sprout("hosts", "cancel", "pve-01", "--reason", "wrong one")
        _, err = waiting.communicate(timeout=100)

    assert (first["state"], first["operation"]["id"]) == ("pxe_ready", operation)
    assert cancelled.returncode == 0, cancelled.stderr
    assert waiting.returncode == 1
    assert "provision cancelled" in err
    assert shown(sprout, "hosts", "show", "pve-01")["state"] == "failed"
    with borrowed():
        assert Workflow.get_by_id(operation).state == "cancelled"
