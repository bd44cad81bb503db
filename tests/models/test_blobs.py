"""Rights to blobs: what a signed URL opens, and everything it does not."""

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from uuid import UUID

import pytest

from models import blobs, lists
from models.blobs import RightExpired, RightRefused
from models.bootplan import File
from models.commands import blobs as commands
from models.database import borrowed
from models.tables import Key
from tests.models import make

KEY = bytes(32)
SITE, OTHER = UUID(int=1), UUID(int=2)
TASK = UUID(int=3)
SHA, ELSE = "ab" * 32, "cd" * 32


def of(url):
    return url.partition("?g=")[2]


READ = of(blobs.link(KEY, SHA, site=SITE, expires=1000))
WRITE = of(blobs.upload(KEY, TASK, site=SITE, most_bytes=10, expires=1000))


def judged(text, method="GET", digest=SHA, now=999.0, key=KEY):
    return blobs.right(key, text, method=method, sha256=digest, now=now)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_link_opens_its_blob_for_reading(method):
    right = judged(READ, method)

    assert (right.site, right.expires, right.task) == (SITE, 1000, None)


@pytest.mark.parametrize("method", ["PUT", "HEAD"])
@pytest.mark.parametrize("digest", [SHA, ELSE])
def test_an_upload_is_for_any_blob_of_a_size(method, digest):
    right = judged(WRITE, method, digest)

    assert (right.site, right.task, right.most_bytes) == (SITE, TASK, 10)
    assert right.holder == f"site:{SITE}/task:{TASK}"


@pytest.mark.parametrize("text", [READ, WRITE])
def test_a_right_ends_with_the_second_it_names(text):
    with pytest.raises(RightExpired):
        judged(text, "HEAD", now=1000.0)


def changed(text, number, value):
    fields = text.split(".")
    return ".".join((*fields[:number], value, *fields[number + 1 :]))


@pytest.mark.parametrize(
    ("text", "method", "digest"),
    [
        pytest.param(READ, "GET", ELSE, id="another blob"),
        pytest.param(READ, "PUT", SHA, id="a read that writes"),
        pytest.param(READ, "DELETE", SHA, id="a method that nobody is given"),
        pytest.param(WRITE, "GET", SHA, id="an upload that reads"),
        pytest.param(changed(READ, 1, OTHER.hex), "GET", SHA, id="another site"),
        pytest.param(changed(WRITE, 1, OTHER.hex), "PUT", SHA, id="another site's upload"),
        pytest.param(changed(WRITE, 2, OTHER.hex), "PUT", SHA, id="another task"),
        pytest.param(changed(WRITE, 3, "11"), "PUT", SHA, id="more bytes"),
        pytest.param(changed(READ, 2, "2000"), "GET", SHA, id="longer"),
        pytest.param(changed(READ, 3, "A" * 43), "GET", SHA, id="a guessed signature"),
        pytest.param(changed(READ, 0, "put"), "PUT", SHA, id="another kind"),
        pytest.param(READ.replace(".1000.", "\n1000."), "GET", SHA, id="fields run together"),
        pytest.param(READ + "=", "GET", SHA, id="padding"),
        pytest.param(READ + "\n", "GET", SHA, id="a line break"),
        pytest.param("", "GET", SHA, id="nothing"),
        pytest.param("...", "GET", SHA, id="dots"),
        pytest.param("get." * 10_000, "GET", SHA, id="very long"),
        pytest.param("g\u00e9t.\udcff", "GET", SHA, id="no ASCII"),
    ],
)
def test_anything_else_is_refused(text, method, digest):
    with pytest.raises(RightRefused):
        judged(text, method, digest)


def test_another_deployment_s_signature_is_refused():
    with pytest.raises(RightRefused):
        judged(READ, key=bytes(31) + b"x")


def test_a_link_stands_below_the_edge_that_is_named_or_the_site_s_own():
    link = blobs.link(KEY, SHA, site=SITE, expires=1)

    assert link.startswith(f"/v1/blobs/{SHA}?g=get.")
    assert blobs.link(KEY, SHA, site=SITE, expires=1, base="https://e") == f"https://e{link}"
    assert blobs.upload(KEY, TASK, site=SITE, most_bytes=1, expires=1).startswith(
        "/v1/blobs/{sha256}?g=put."
    )


def test_files_are_linked_once_each():
    files = [File(role="a", path=p, sha256=s) for p, s in (("x", SHA), ("y", SHA.upper()))]

    assert list(blobs.links(KEY, files, site=SITE, expires=1)) == [SHA]


# --- stored ---


@pytest.mark.services
def test_the_deployment_s_key_is_made_once_however_many_ask_first(database_url):
    met, found = Barrier(4), []

    def ask():
        with borrowed():
            met.wait(60)
            found.append(commands.key())

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    with borrowed():
        assert Key.select().where(Key.name == "blobs").count() == 1
        assert set(found) == {commands.key()}
    assert len(found) == 4


@pytest.mark.services
def test_what_control_signs_opens_until_it_runs_out(db):
    now = datetime.now(UTC)
    urls = commands.links([File(role="image", path="x", sha256=SHA)], SITE, now)
    late = now + timedelta(seconds=commands.LINK_S + 1)

    assert commands.right(of(urls[SHA]), method="GET", sha256=SHA, now=now).site == SITE
    with pytest.raises(RightExpired):
        commands.right(of(urls[SHA]), method="GET", sha256=SHA, now=late)


@pytest.mark.services
def test_an_upload_outlives_a_long_cut(db):
    now = datetime.now(UTC)
    url = commands.upload(TASK, SITE, now, most_bytes=7)
    later = now + timedelta(hours=23)

    assert commands.right(of(url), method="PUT", sha256=SHA, now=later).most_bytes == 7


@pytest.mark.services
def test_images_say_where_a_blob_should_lie(db):
    make.image()

    assert commands.named("2" * 64) == ["debian/disk.raw"]
    assert commands.named("3" * 64) == []


@pytest.mark.services
def test_an_upload_that_is_whole_is_recorded(db):
    commands.kept(make.ADA, SHA, size=5, site=None)

    row = lists.audit()[0]
    assert (row.actor, row.action, row.object_id, row.data) == (
        "ada", "blob.put", SHA, {"bytes": 5},
    )  # fmt: skip
