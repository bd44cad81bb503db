"""Images and profiles by forms: entered, changed and forgotten, each fault at its field."""

import re

import pytest

from models import queries
from models.tables import Audit, Image, Profile
from tests.edge.signed_in import Browser, text
from tests.models import make as domain

pytestmark = pytest.mark.services

NAMES = ("vmlinuz", "initrd", "d.raw")
SUMS = "\n".join(f"{n * 64}  {path}" for n, path in zip("012", NAMES, strict=True))
IMAGE = {
    "__ref": "debian-13",
    "__name": "Debian 13",
    "__architecture": "x86_64",
    "__installer": "image",
    "__artifactRef": "a-debian-12",
    "__kernelPath": "vmlinuz",
    "__initrdPath": "initrd",
    "__imagePath": "d.raw",
    "__imageBytes": "1048576",
    "__checksums": SUMS,
    "__kernelArgs": "quiet\r\n\r\nnomodeset\r\n",
}


@pytest.fixture
def scene(db):
    return domain.Scene()


@pytest.fixture
def person(app):
    return Browser(app)


def field(page, pointer):
    return re.search(rf'<(?:input|select|textarea)[^>]*name="{pointer}"[^>]*>', page)[0]


def shown(page, pointer):
    """Return what stands in a text area."""
    return re.search(rf'name="{pointer}"[^>]*>\n([^<]*)</textarea>', page)[1]


def test_an_image_is_entered_with_what_sha256sum_prints(person, scene):
    made = person.post("/new-image", **IMAGE)

    assert made.status_code == 303
    image = queries.image("debian-13")
    assert dict(image.checksums) == {"vmlinuz": "0" * 64, "initrd": "1" * 64, "d.raw": "2" * 64}
    assert (image.kernel_args, image.image_bytes) == (("quiet", "nomodeset"), 1 << 20)
    assert "Debian 13" in text(person.get(made.headers["Location"]))
    assert "debian-13" in text(person.get("/images?search=13"))


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"__kernelPath": "../etc/passwd"}, "/kernelPath"),
        ({"__kernelPath": "/vmlinuz"}, "/kernelPath"),
        ({"__imageBytes": "many"}, "/imageBytes"),
        ({"__imageBytes": "9" * 40}, "/imageBytes"),
        ({"__checksums": "no sum at all"}, "/checksums"),
        ({"__checksums": "x" * 4000}, "/checksums"),
        ({"__kernelArgs": "a\x07b"}, "/kernelArgs"),
        ({"__artifactRef": "nowhere"}, "/artifactRef"),
        ({"__installer": "magic"}, "/installer"),
        ({"__ref": "debian-12"}, "/ref"),
        ({"__ref": "../x"}, "/ref"),
    ],
)
def test_what_is_wrong_with_an_image_stands_at_its_field_and_nothing_is_lost(
    person, scene, wrong, pointer
):
    answer = person.post("/new-image", **IMAGE | wrong)

    assert answer.status_code in {409, 422}
    assert 'aria-invalid="true"' in field(answer.text, pointer)
    assert "vmlinuz" in answer.text
    assert Image.select().count() == 1


def test_an_image_is_changed_and_what_is_emptied_is_empty(person, scene):
    person.post("/new-image", **IMAGE)
    page = person.get("/images/debian-13").text
    assert shown(page, "/kernelArgs") == "quiet\nnomodeset"

    answer = person.post(
        "/images/debian-13", __version="1", __name="New", __checksums=SUMS, __kernelArgs=""
    )

    assert answer.status_code == 303
    image = queries.image("debian-13")
    assert (image.name, image.kernel_args, image.kernel_path) == ("New", (), "vmlinuz")


def test_a_change_of_what_somebody_else_has_changed_is_refused_and_kept_to_be_looked_at(
    person, scene
):
    asked = {"__name": "Mine", "__cloudConfigTemplate": "#cloud-config\n{}\n"}
    person.post("/profiles/plain", __version="1", **asked | {"__name": "Theirs"})

    answer = person.post("/profiles/plain", __version="1", **asked)

    assert answer.status_code == 409
    assert 'value="Mine"' in field(answer.text, "/name")
    assert queries.profile("plain").name == "Theirs"


def test_a_template_comes_back_as_it_was_written(person, scene):
    template = "#cloud-config\nwrite_files:\n  - content: <b>&amp;</b> {{ hostname }}\n"

    made = person.post(
        "/new-profile",
        __ref="odd",
        __name="خادم",
        __cloudConfigTemplate=template.replace("\n", "\r\n"),
    )

    assert made.status_code == 303
    assert queries.profile("odd").cloud_config_template == template
    page = person.get(made.headers["Location"]).text
    assert "content: <b>" not in page
    assert "content: &lt;b&gt;&amp;amp;" in page


def test_a_template_that_cannot_be_rendered_is_refused_at_its_field(person, scene):
    answer = person.post(
        "/new-profile", __ref="x", __name="X", __cloudConfigTemplate="#cloud-config\n{{ oops"
    )

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in field(answer.text, "/cloudConfigTemplate")


def test_what_is_forgotten_has_its_reference_typed_first(person, scene):
    person.post("/new-image", **IMAGE)
    path = "/images/debian-13/delete"

    wrong = person.post(path, __confirm="debian-12")
    assert wrong.status_code == 422
    assert 'aria-invalid="true"' in field(wrong.text, "/confirm")
    right = person.post(path, __confirm="debian-13")

    assert (right.status_code, right.headers["Location"]) == (303, "/images")
    assert person.get("/images/debian-13").status_code == 404


def test_what_a_machine_has_is_not_forgotten(person, scene):
    scene.provision()

    answer = person.post("/profiles/plain/delete", __confirm="plain")

    assert answer.status_code == 409
    assert Profile.select().count() == 1


def test_who_may_only_look_is_shown_no_form_and_changes_nothing(app, scene):
    viewer = Browser(app, grants=[("viewer", None)], name="vi")

    page = viewer.get("/images/debian-12").text

    assert "vmlinuz" in page
    assert "<form class=" not in page.partition("<main")[2]
    for path in ("/images/debian-12", "/images/debian-12/delete", "/new-image"):
        assert viewer.post(path, __name="x").status_code == 403
    assert {row.outcome for row in Audit.select().where(Audit.actor == "vi")} == {"refused"}
