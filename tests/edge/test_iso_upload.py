"""An ISO uploaded from a real browser: hashed there, sent in parts, gone on with after a break."""

import hashlib
import os

import pytest
from playwright.sync_api import expect

from models.blobs import place
from models.commands import preparing
from models.errands import Ended
from tests.models import make

pytestmark = pytest.mark.services

PART = 8 << 20


@pytest.fixture
def iso(tmp_path):
    """More than one part, and no whole number of them."""
    path = tmp_path / "pve.iso"
    path.write_bytes(os.urandom(1 << 20) * 17 + b"and a rest")
    return path


@pytest.fixture
def blobs(settings, tmp_path):
    settings["SPROUT_BLOB_DIR"] = str(tmp_path / "shelf")
    return tmp_path / "shelf"


def said(page):
    return page.locator("#file-told")


def test_a_file_is_sent_in_parts_and_what_broke_off_is_gone_on_with(blobs, iso, page, axe_core):
    body = iso.read_bytes()
    sha256 = hashlib.sha256(body).hexdigest()
    ranges = []

    def passing(route):
        """Let the first part through, lose the second once, then let all through."""
        if route.request.method == "PUT":
            ranges.append(route.request.headers["content-range"])
        if len(ranges) == 2 and route.request.method == "PUT":
            route.abort()
        else:
            route.continue_()

    page.route("**/v1/blobs/*", passing)
    page.goto("/new-iso")
    page.get_by_label("The ISO").set_input_files(iso)

    expect(said(page)).to_have_text("pve.iso is uploaded. Prepare it now.")
    size = len(body)
    second = f"bytes {PART}-{2 * PART - 1}/{size}"
    assert ranges == [
        f"bytes 0-{PART - 1}/{size}",
        second,
        second,
        f"bytes {2 * PART}-{size - 1}/{size}",
    ]
    assert page.get_by_label("SHA-256").input_value() == sha256
    assert (blobs / place(sha256)).read_bytes() == body
    page.evaluate(axe_core)
    assert page.evaluate("axe.run()")["violations"] == []


def test_what_is_uploaded_already_is_not_sent_again(blobs, iso, page):
    sha256 = hashlib.sha256(iso.read_bytes()).hexdigest()
    (at := blobs / place(sha256)).parent.mkdir(parents=True)
    at.write_bytes(iso.read_bytes())
    sent = []
    page.on("request", lambda asked: sent.append(asked.method) if "/blobs/" in asked.url else None)

    page.goto("/new-iso")
    page.get_by_label("The ISO").set_input_files(iso)

    expect(said(page)).to_have_text("pve.iso is uploaded. Prepare it now.")
    assert sent == ["HEAD"]


def test_a_refusal_is_told_beside_the_file(blobs, iso, page):
    page.route(
        "**/v1/blobs/*",
        lambda route: (
            route.fulfill(status=507, body="")
            if route.request.method == "HEAD"
            else route.fulfill(status=413, json={"detail": "It is too large."})
        ),
    )

    page.goto("/new-iso")
    page.get_by_label("The ISO").set_input_files(iso)

    expect(said(page)).to_have_text("Not uploaded: It is too large.")
    expect(page.get_by_role("button", name="Prepare it")).to_be_enabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_pages_of_isos(page, scheme, axe_core, db):
    about = {"name": "Proxmox VE 9", "iso_sha256": "", "iso_path": "isos/pve.iso"}
    working, failed = (
        preparing.ask(make.ADA, ref=f"proxmox-{word}", **about) for word in ("working", "failed")
    )
    preparing.begin(working)
    preparing.told(working, done=300, total=1000)
    preparing.ended(failed, Ended(done=False, reason="Proxmox VE 8.0-2 gives root to whoever asks"))
    page.emulate_media(color_scheme=scheme)

    found = {}
    for path in ("/isos", f"/isos/{working}", f"/isos/{failed}", f"/isos/{failed}/delete"):
        page.goto(path)
        page.evaluate(axe_core)
        found[path] = page.evaluate("axe.run()")["violations"]

    assert {path: each for path, each in found.items() if each} == {}
