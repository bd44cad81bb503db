"""An installer's ISO, uploaded or pointed at, becomes an image: asked by REST, done by control."""

import errno
import hashlib
import os
import time
from pathlib import Path
from uuid import uuid4

import pytest

from actors.control import errands as runner
from actors.control import isos
from actors.drivers.deadline import Deadline
from edge.app import create_app
from models.blobs import place
from models.commands import errands, outcomes
from models.database import borrowed
from models.errands import Errand
from models.tables import Machine
from tests.actors.installer_isos import BASE, KERNEL, an_iso, content
from tests.edge.conftest import Api, config
from tests.models import make

pytestmark = pytest.mark.services

ROUTE = "/v1/image-preparations"
REF = {"ref": "proxmox-9", "name": "Proxmox VE 9"}


@pytest.fixture
def folders(tmp_path):
    (artifacts := tmp_path / "artifacts").mkdir()
    return tmp_path / "blobs", artifacts


@pytest.fixture
def api(database_url, folders):
    return Api(create_app(config(blob_dir=folders[0], artifact_dir=folders[1])))


@pytest.fixture
def control(folders):
    """Do the one errand that waits, as a control process does; return what was recorded."""
    means = runner.Means(blob_dir=folders[0], artifact_dir=folders[1])

    def work():
        with borrowed():
            held = errands.take([Errand.IMAGE_PREPARE])
        job = runner.Job(held, Deadline.after(held.left_s), time.monotonic() + 30)
        ended = runner.Runner(means)._done(job)
        with borrowed():
            outcomes.settle(held, ended, make.render)
        return ended

    return work


@pytest.fixture
def iso(tmp_path):
    return an_iso(tmp_path / "vendor.iso").read_bytes()


def uploaded(api, body):
    sha256 = hashlib.sha256(body).hexdigest()
    half = len(body) // 2
    for first, piece in ((0, body[:half]), (half, body[half:])):
        told = f"bytes {first}-{first + len(piece) - 1}/{len(body)}"
        answer = api._client.put(
            f"/v1/blobs/{sha256}", data=piece, headers=api._headers | {"Content-Range": told}
        )
        assert answer.status_code in {201, 202}
    return sha256


def asked(api, **more):
    return api.post(ROUTE, REF | more)


def now(api, made):
    return api.get(f"{ROUTE}/{made['id']}").json


def test_an_uploaded_iso_becomes_an_image_whose_parts_sites_can_fetch(api, control, iso, folders):
    sha256 = uploaded(api, iso)

    answer = asked(api, isoSha256=sha256)
    assert (answer.status_code, answer.json["state"]) == (202, "waiting")
    assert answer.headers["Location"] == f"{ROUTE}/{answer.json['id']}"
    control()

    done = now(api, answer.json)
    image = api.get("/v1/images/proxmox-9").json
    assert (done["state"], done["release"], done["imageId"]) == ("succeeded", "9.1-1", image["id"])
    assert done["bytesDone"] == done["bytesTotal"] > len(iso)
    assert set(image["checksums"]) == {"vmlinuz", "initrd.img", "proxmox.iso"}
    assert (image["kernelPath"], image["isoPath"]) == ("vmlinuz", "proxmox.iso")
    assert api.get(f"/v1/blobs/{image['checksums']['vmlinuz']}").data == KERNEL
    made = folders[0] / place(image["checksums"]["proxmox.iso"])
    assert image["imageBytes"] == made.stat().st_size
    assert content(made, "/pve-base.squashfs") == BASE
    assert api.get(f"/v1/blobs/{sha256}").data == iso


def test_an_iso_in_the_artifact_folder_is_pointed_at_and_stays_there(api, control, iso, folders):
    (folders[1] / "isos").mkdir()
    (folders[1] / "isos/pve.iso").write_bytes(iso)

    made = asked(api, isoPath="isos/pve.iso").json
    control()

    done = now(api, made)
    assert (done["state"], done["isoSha256"]) == ("succeeded", hashlib.sha256(iso).hexdigest())
    assert (folders[1] / "isos/pve.iso").read_bytes() == iso
    assert not list((folders[0] / isos.FOLDER).iterdir())


REFUSED = {
    "flawed": ({"release": "8.0"}, "gives root"),
    "too-old": ({"release": "6.4"}, "cannot be installed unattended"),
    "no-kernel": ({"without": ("linux26",)}, "/boot/linux26"),
    "no-names": ({"rock_ridge": None}, "Rock Ridge"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_iso_that_cannot_be_used_is_refused_with_a_sentence(api, control, tmp_path, case):
    how, words = REFUSED[case]
    body = an_iso(tmp_path / "bad.iso", **how).read_bytes()
    made = asked(api, isoSha256=uploaded(api, body)).json

    control()

    done = now(api, made)
    assert done["state"] == "failed"
    assert words in done["detail"]
    assert done["imageId"] is None
    assert api.get("/v1/images").json["items"] == []


def test_what_is_no_iso_is_refused(api, control):
    made = asked(api, isoSha256=uploaded(api, b"not an ISO" * 9000)).json

    control()

    assert now(api, made)["state"] == "failed"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/isoSha256"),
        ({"isoSha256": "ab" * 32}, "/isoSha256"),
        ({"isoSha256": "ab" * 32, "isoPath": "a.iso"}, "/isoSha256"),
        ({"isoSha256": "no-sum"}, "/isoSha256"),
        ({"isoPath": "../../etc/shadow"}, "/isoPath"),
        ({"isoPath": "/etc/shadow"}, "/isoPath"),
        ({"isoPath": "a.iso", "ref": "No Reference"}, "/ref"),
        ({"isoPath": "a.iso", "files": []}, "/files"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_refused_at_its_field(api, body, pointer):
    answer = asked(api, **body)

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)


def test_a_link_out_of_the_artifact_folder_is_not_followed(api, control, folders, iso, tmp_path):
    (tmp_path / "elsewhere.iso").write_bytes(iso)
    (folders[1] / "link.iso").symlink_to(tmp_path / "elsewhere.iso")
    made = asked(api, isoPath="link.iso").json

    control()

    assert now(api, made)["state"] == "failed"
    assert "no file in the artifact folder" in now(api, made)["detail"]


def test_a_reference_is_prepared_once_at_a_time_and_not_over_an_image(api, control, iso):
    sha256 = uploaded(api, iso)
    asked(api, isoSha256=sha256)

    again = asked(api, isoSha256=sha256)
    control()
    over = asked(api, isoSha256=sha256)

    for answer in (again, over):
        assert (answer.status_code, answer.json["type"].rpartition("/")[2]) == (409, "taken")
        assert answer.json["errors"][0]["pointer"] == "/ref"


def test_an_image_that_came_meanwhile_fails_the_preparation_and_stays(api, control, iso):
    made = asked(api, isoSha256=uploaded(api, iso)).json
    with borrowed():
        make.image("proxmox-9")

    control()

    assert now(api, made)["state"] == "failed"
    assert "reference" in now(api, made)["detail"]
    assert api.get("/v1/images/proxmox-9").json["name"] == "Debian"
    assert api.get("/v1/artifacts/proxmox-9").status_code == 404


def test_a_full_disk_is_tried_again_and_leaves_nothing(api, control, iso, folders, monkeypatch):
    made = asked(api, isoSha256=uploaded(api, iso)).json

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(isos, "_keep", full)
    ended = control()

    assert (ended.done, ended.retryable) == (False, True)
    assert "No space left" in ended.reason
    assert now(api, made)["state"] == "running"
    assert not list((folders[0] / isos.FOLDER).iterdir())


def test_what_a_dead_process_left_is_swept(api, control, iso, folders):
    old = folders[0] / isos.FOLDER / "left"
    old.mkdir(parents=True)
    (old / "vmlinuz").write_bytes(b"half")
    long_ago = time.time() - 2 * isos.OLD_S
    os.utime(old, (long_ago, long_ago))
    asked(api, isoSha256=uploaded(api, iso))

    control()

    assert not old.exists()


def test_forgetting_drops_the_image_and_the_files_that_nothing_else_names(
    api, control, iso, folders
):
    sha256 = uploaded(api, iso)
    first = asked(api, isoSha256=sha256).json
    control()
    second = asked(api, isoSha256=sha256, ref="proxmox-again").json
    control()
    kernel = api.get("/v1/images/proxmox-again").json["checksums"]["vmlinuz"]

    answer = api.delete(f"{ROUTE}/{first['id']}")

    assert (answer.status_code, answer.json["ref"]) == (200, "proxmox-9")
    assert api.get("/v1/images/proxmox-9").status_code == 404
    assert api.get("/v1/artifacts/proxmox-9").status_code == 404
    assert (folders[0] / place(sha256)).exists()
    assert (folders[0] / place(kernel)).exists()
    assert api.delete(f"{ROUTE}/{second['id']}").status_code == 200
    assert not (folders[0] / place(sha256)).exists()
    assert not (folders[0] / place(kernel)).exists()


def test_what_a_machine_has_or_what_is_being_prepared_is_not_forgotten(api, control, iso):
    sha256 = uploaded(api, iso)
    waiting = asked(api, isoSha256=sha256).json

    early = api.delete(f"{ROUTE}/{waiting['id']}")
    control()
    with borrowed():
        machine = make.machine(make.site(), "node-1", [make.interface()])
        Machine.update(image_id=now(api, waiting)["imageId"]).where(Machine.id == machine).execute()
    late = api.delete(f"{ROUTE}/{waiting['id']}")

    assert (early.status_code, early.json["type"].rpartition("/")[2]) == (409, "illegal-transition")
    assert (late.status_code, late.json["type"].rpartition("/")[2]) == (409, "in-use")
    assert api.get("/v1/images/proxmox-9").status_code == 200


def test_what_another_preparation_makes_anew_just_now_is_not_dropped_under_it(
    api, control, iso, folders
):
    (folders[1] / "pve.iso").write_bytes(iso)
    first = asked(api, isoSha256=uploaded(api, iso)).json
    control()
    asked(api, isoPath="pve.iso", ref="proxmox-again")

    early = api.delete(f"{ROUTE}/{first['id']}")
    control()
    late = api.delete(f"{ROUTE}/{first['id']}")

    assert (early.status_code, early.json["type"].rpartition("/")[2]) == (409, "illegal-transition")
    assert late.status_code == 200
    for sha256 in api.get("/v1/images/proxmox-again").json["checksums"].values():
        assert (folders[0] / place(sha256)).exists()


def test_an_image_that_was_forgotten_by_itself_leaves_its_iso_to_be_forgotten(
    api, control, iso, folders
):
    sha256 = uploaded(api, iso)
    made = asked(api, isoSha256=sha256).json
    control()

    gone = api.delete("/v1/images/proxmox-9")
    then = api.delete(f"{ROUTE}/{made['id']}")

    assert (gone.status_code, then.status_code) == (200, 200)
    assert not (folders[0] / place(sha256)).exists()


def test_what_was_done_is_audited_and_listed(api, control, iso):
    made = asked(api, isoSha256=uploaded(api, iso)).json
    control()

    assert [each["id"] for each in api.get(ROUTE).json["items"]] == [made["id"]]
    assert api.get(f"{ROUTE}?state=waiting").json["items"] == []
    actions = [row["action"] for row in api.audit()]
    assert actions[:3] == ["image.create", "artifact.create", "image-preparation.create"]
    assert api.get(f"{ROUTE}/{uuid4()}").status_code == 404


def test_a_place_outside_is_no_place(tmp_path):
    with pytest.raises(isos.Refused):
        isos._below(tmp_path / "nowhere", "a.iso")


def test_the_folder_is_made_where_it_is_not(api, control, iso, folders):
    assert not Path(folders[0] / isos.FOLDER).exists()
    asked(api, isoSha256=uploaded(api, iso))

    assert control().done
