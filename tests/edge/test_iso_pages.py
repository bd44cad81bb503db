"""Pages of installers' ISOs: uploaded or pointed at, how far each is, and deleted."""

import hashlib
from uuid import UUID

import pytest

from edge.app import create_app
from models.blobs import place
from models.commands import preparing
from models.errands import Ended
from models.queries import image as image_of
from models.tables import Machine
from tests.edge.conftest import config
from tests.edge.signed_in import Browser, text
from tests.models import make as domain

pytestmark = pytest.mark.services

ISO = b"an ISO, as far as the edge knows"
SUM = hashlib.sha256(ISO).hexdigest()
NEW = {"__ref": "proxmox-9", "__name": "Proxmox VE 9"}


@pytest.fixture
def folder(tmp_path):
    (blobs := tmp_path / "blobs").mkdir()
    return blobs


@pytest.fixture
def app(db, folder, tmp_path):
    return create_app(config(blob_dir=folder, artifact_dir=tmp_path))


@pytest.fixture
def person(app):
    return Browser(app)


def lay(folder, body):
    sha256 = hashlib.sha256(body).hexdigest()
    (at := folder / place(sha256)).parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes(body)
    return sha256


def made_of(folder):
    """What control brings at its end, with the files lying there."""
    names = {"kernel": "vmlinuz", "initrd": "initrd.img", "iso": "proxmox.iso"}
    sums = {name: lay(folder, name.encode()) for name in names.values()}
    parts = {role: {"name": n, "size": 9, "sha256": sums[n]} for role, n in names.items()}
    return Ended(done=True, result={"release": "9.1-1", "source": SUM, "parts": parts})


def asked(person, **more):
    answer = person.post("/new-iso", **NEW | more)
    assert answer.status_code == 303, text(answer)
    return answer.headers["Location"]


def id_of(page):
    return UUID(page.rpartition("/")[2])


def test_the_first_page_says_what_an_iso_becomes_and_where_to_begin(person):
    page = person.get("/isos")

    assert "No ISO yet" in page.text
    assert 'href="/new-iso"' in page.text
    assert 'href="/isos"' in person.get("/images").text


def test_an_uploaded_iso_is_prepared_and_the_page_says_how_far_it_is(person, folder):
    lay(folder, ISO)

    page = asked(person, __isoSha256=SUM)
    waiting = person.get(page)
    preparing.begin(id_of(page))
    preparing.told(id_of(page), done=300, total=1000)
    working = person.get(page)

    assert "waiting for a control process" in text(waiting)
    assert 'hx-trigger="every 2s"' in working.text
    assert '<progress max="100" value="30"' in working.text
    assert "proxmox-9" in text(person.get("/isos"))


def test_what_came_of_it_is_shown_with_its_files_and_its_image(person, folder):
    lay(folder, ISO)
    page = asked(person, __isoSha256=SUM)
    preparing.ended(id_of(page), made_of(folder))

    shown = person.get(page)

    assert 'href="/images/proxmox-9"' in shown.text
    assert "hx-trigger" not in shown.text
    for name, sha256 in image_of("proxmox-9").checksums.items():
        assert f"{name} {sha256}" in text(shown)


def test_why_one_was_refused_stands_on_its_page_and_in_the_list(person, folder):
    lay(folder, ISO)
    page = asked(person, __isoSha256=SUM)

    preparing.ended(id_of(page), Ended(done=False, reason="Proxmox VE 8.0-2 gives root to <all>"))

    for each in (page, "/isos"):
        assert "Proxmox VE 8.0-2 gives root to &lt;all&gt;" in person.get(each).text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, "name one ISO"),
        ({"__isoSha256": "ab" * 32}, "no ISO with this SHA-256 was uploaded"),
        ({"__isoSha256": "nonsense"}, "isoSha256"),
        ({"__isoPath": "../secret"}, "path"),
    ],
)
def test_what_is_wrong_stands_at_its_field(person, form, words):
    answer = person.post("/new-iso", **NEW | form)

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert words.lower() in text(answer).lower() or "SHA-256" in text(answer)


def test_it_is_deleted_with_its_files_after_its_reference_was_typed(person, folder):
    lay(folder, ISO)
    page = asked(person, __isoSha256=SUM)
    early = person.get(page)
    preparing.ended(id_of(page), made_of(folder))

    wrong = person.post(f"{page}/delete", __confirm="another")
    right = person.post(f"{page}/delete", __confirm="proxmox-9")

    assert "delete…" not in early.text
    assert (wrong.status_code, right.status_code) == (422, 303)
    assert person.get(page).status_code == 404
    assert person.get("/images/proxmox-9").status_code == 404
    assert [each for each in folder.rglob("*") if each.is_file()] == []


def test_what_a_machine_has_stays_and_the_page_says_who_has_it(person, folder):
    lay(folder, ISO)
    page = asked(person, __isoSha256=SUM)
    preparing.ended(id_of(page), made_of(folder))
    machine = domain.machine(domain.site(), "node-1", [domain.interface()])
    Machine.update(image_id=image_of("proxmox-9").id).where(Machine.id == machine).execute()

    answer = person.post(f"{page}/delete", __confirm="proxmox-9")

    assert answer.status_code == 409
    assert "node-1" in text(answer)
    assert (folder / place(SUM)).exists()


def test_who_may_only_look_is_offered_nothing_and_may_ask_for_nothing(app, person, folder):
    lay(folder, ISO)
    page = asked(person, __isoSha256=SUM)
    preparing.ended(id_of(page), made_of(folder))
    viewer = Browser(app, grants=(("viewer", None),), name="eve")

    assert viewer.get(page).status_code == 200
    assert "delete…" not in viewer.get(page).text
    assert "/new-iso" not in viewer.get("/isos").text
    assert viewer.get("/new-iso").status_code == 403
    assert viewer.post(f"{page}/delete", __confirm="proxmox-9").status_code == 403
    assert person.post("/new-iso", csrf="forged", **NEW).status_code == 403
