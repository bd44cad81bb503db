"""Blobs over HTTP: who may read and write them, ranges, and every refusal as it is documented."""

import hashlib
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psutil
import pytest
import requests

from edge.app import create_app
from edge.blobs import TRANSFERS
from models.blobs import place
from models.bootplan import File
from models.commands import blobs
from models.database import borrowed
from tests.actors.lane import until
from tests.edge import make
from tests.edge.conftest import TOKEN, Api, config, serving

BODY = bytes(range(100))
SHA = hashlib.sha256(BODY).hexdigest()
URL = f"/v1/blobs/{SHA}"
SITE, TASK = uuid4(), uuid4()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "blobs"


@pytest.fixture
def shelved(folder):
    location = folder / place(SHA)
    location.parent.mkdir(parents=True)
    location.write_bytes(BODY)
    return location


@pytest.fixture
def bare(folder, tmp_path):
    return create_app(config(blob_dir=folder, artifact_dir=tmp_path / "artifacts"))


@pytest.fixture
def read(bare, shelved):
    return Api(bare).get


@pytest.mark.parametrize(
    ("asked", "status", "body", "told"),
    [
        ({}, 200, BODY, None),
        ({"Range": "bytes=0-0"}, 206, BODY[:1], "bytes 0-0/100"),
        ({"Range": "bytes=0-"}, 206, BODY, "bytes 0-99/100"),
        ({"Range": "bytes=90-"}, 206, BODY[90:], "bytes 90-99/100"),
        ({"Range": "bytes=99-99"}, 206, BODY[99:], "bytes 99-99/100"),
        ({"Range": "bytes=90-1000"}, 206, BODY[90:], "bytes 90-99/100"),
        ({"Range": "bytes=-10"}, 206, BODY[90:], "bytes 90-99/100"),
        ({"Range": "bytes=-1000"}, 206, BODY, "bytes 0-99/100"),
        ({"Range": "bytes=100-"}, 416, None, "bytes */100"),
        ({"Range": "bytes=100-200"}, 416, None, "bytes */100"),
        ({"Range": "bytes=-0"}, 416, None, "bytes */100"),
        ({"Range": "bytes=9-5"}, 200, BODY, None),
        ({"Range": "bytes=0-1,5-6"}, 200, BODY, None),
        ({"Range": "lines=0-1"}, 200, BODY, None),
        ({"Range": "bytes=a-b"}, 200, BODY, None),
        ({"Range": "bytes=-"}, 200, BODY, None),
        ({"Range": "bytes=0-1", "If-Range": f'"{SHA}"'}, 206, BODY[:2], "bytes 0-1/100"),
        ({"Range": "bytes=0-1", "If-Range": '"else"'}, 200, BODY, None),
        ({"If-None-Match": f'"{SHA}"'}, 304, b"", None),
    ],
)
def test_a_range_is_served_as_the_rfc_wants(read, asked, status, body, told):
    answer = read(URL, headers=asked)

    assert (answer.status_code, answer.headers.get("Content-Range")) == (status, told)
    if body is None:
        assert answer.json["type"] == "/problems/range"
    else:
        assert (answer.data, answer.headers["ETag"]) == (body, f'"{SHA}"')


def test_a_blob_is_never_shown_by_a_browser(read):
    answer = read(URL)

    assert answer.headers["Content-Disposition"] == "attachment"
    assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "name",
    [
        SHA.upper(),
        SHA[:-1],
        f"{SHA}0",
        f"{SHA}%0a",
        f"{SHA[:2]}%2f{SHA[2:]}",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "g" * 64,
        "\u0660" * 64,
        "uploads",
        f"{SHA}%00",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_a_name_that_is_no_sha256_leads_nowhere(bare, shelved, name, method):
    headers = {"Authorization": f"Bearer {TOKEN}"}

    answer = bare.test_client().open(f"/v1/blobs/{name}", method=method, headers=headers)

    assert answer.status_code in {404, 405, 422}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_without_token_or_right_nothing_is_said(bare, shelved, method):
    answer = bare.test_client().open(URL, method=method, data=b"x")

    assert answer.status_code == 401


def test_every_place_is_given_back(bare, shelved):
    get = Api(bare).get

    for _ in range(TRANSFERS + 2):
        assert get(URL).status_code == 200
        assert get(URL, headers={"Range": "bytes=500-"}).status_code == 416
        assert get(URL, headers={"If-None-Match": f'"{SHA}"'}).status_code == 304


def test_more_downloads_than_there_are_places_are_told_to_come_again(bare, shelved):
    client, headers = bare.test_client(), {"Authorization": f"Bearer {TOKEN}"}
    held = [client.get(URL, headers=headers, buffered=False) for _ in range(TRANSFERS)]

    refused = client.get(URL, headers=headers)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json["type"] == "/problems/busy"
    for each in held:
        assert each.data == BODY
    assert client.get(URL, headers=headers).status_code == 200


# --- by a right ---


class Holder:
    """Somebody with nothing but a URL."""

    def __init__(self, app, *, site=SITE, task=TASK, most=1000, ago=timedelta()):
        self.client = app.test_client()
        now = datetime.now(UTC) - ago
        files = [File(role="image", path="x", sha256=SHA)]
        with borrowed():
            self.link = blobs.links(files, site, now)[SHA]
            self.upload = blobs.upload(task, site, now, most_bytes=most)

    def put(self, body=BODY, sha=SHA, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.put(self.upload.format(sha256=sha), data=body, headers=named)

    def head(self, sha=SHA):
        return self.client.head(self.upload.format(sha256=sha))


@pytest.fixture
def app(database_url, folder, tmp_path):
    artifacts = tmp_path / "artifacts"
    (artifacts / "debian-12").mkdir(parents=True)
    found = config(database_url=database_url, blob_dir=folder, artifact_dir=artifacts)
    return create_app(found)


@pytest.fixture
def holder(app):
    return Holder(app)


@pytest.mark.services
def test_a_link_reads_its_blob_and_nothing_else(holder, shelved):
    assert holder.client.get(holder.link).data == BODY
    assert holder.client.head(holder.link).headers["Content-Length"] == "100"

    for method, url in (
        ("PUT", holder.link),
        ("GET", holder.link.replace(SHA, "0" * 64)),
        ("GET", holder.upload.format(sha256=SHA)),
        ("GET", holder.link.replace(SITE.hex, UUID(int=1).hex)),
        ("GET", f"{URL}?g="),
        ("PUT", f"{URL}?g=put"),
        ("HEAD", f"{URL}?g={'x' * 5000}"),
    ):
        answer = holder.client.open(url, method=method)
        assert answer.status_code == 403, (method, url)
        assert method == "HEAD" or answer.json["type"] == "/problems/right-refused"


@pytest.mark.services
def test_a_right_opens_nothing_but_blobs(holder):
    right = holder.link.partition("?")[2]

    assert holder.client.get(f"/v1/sites?{right}").status_code == 401


@pytest.mark.services
def test_a_right_that_has_run_out_says_so(app, shelved):
    late = Holder(app, ago=timedelta(hours=25))

    for answer in (late.client.get(late.link), late.put()):
        assert (answer.status_code, answer.json["type"]) == (403, "/problems/right-expired")


@pytest.mark.services
def test_an_upload_is_read_by_the_operator_and_audited_as_the_site_s(app, api, holder):
    answer = holder.put()

    assert (answer.status_code, answer.headers["Location"]) == (201, URL)
    assert answer.json == {"sha256": SHA, "bytes": 100, "whole": True}
    assert Api(app).get(URL).data == BODY
    row = api.audit()[0]
    assert (row["actor"], row["action"]) == (f"site:{SITE}/task:{TASK}", "blob.put")
    assert (row["objectId"], row["data"]) == (SHA, {"bytes": 100})


@pytest.mark.services
def test_parts_are_answered_with_how_far_they_came(holder):
    assert holder.head().headers["Upload-Offset"] == "0"
    first = holder.put(BODY[:60], Content_Range="bytes 0-59/100")

    assert (first.status_code, first.headers["Range"]) == (202, "bytes=0-59")
    assert first.headers["Upload-Offset"] == "60"
    told = holder.head()
    assert (told.status_code, told.headers["Upload-Offset"]) == (404, "60")

    early = holder.put(BODY[80:], Content_Range="bytes 80-99/100")
    assert (early.status_code, early.json["type"]) == (409, "/problems/blob-gap")
    assert early.headers["Upload-Offset"] == "60"

    assert holder.put(BODY[60:], Content_Range="bytes 60-99/100").status_code == 201
    assert holder.put().status_code == 200
    assert holder.head().status_code == 200


@pytest.mark.services
def test_another_s_upload_is_neither_seen_nor_touched(app, holder):
    holder.put(bytes(60), Content_Range="bytes 0-59/100")
    other = Holder(app, site=uuid4())

    assert other.head().headers["Upload-Offset"] == "0"
    assert other.put().status_code == 201


@pytest.mark.services
@pytest.mark.parametrize(
    ("body", "headers", "refused"),
    [
        (BODY[:-1] + b"!", {}, (422, "blob-mismatch")),
        (bytes(1001), {}, (413, "blob-too-large")),
        (b"x", {"Content_Range": "bytes 0-0/1001"}, (413, "blob-too-large")),
        (b"x", {"Content_Range": "bytes 0-1/2"}, (400, "malformed")),
        (b"x", {"Content_Range": "bytes */2"}, (400, "malformed")),
    ],
)
def test_a_bad_upload_is_refused_and_recorded(api, holder, body, headers, refused):
    status, code = refused

    answer = holder.put(body, **headers)

    assert (answer.status_code, answer.json["type"]) == (status, f"/problems/{code}")
    row = api.audit()[0]
    assert (row["outcome"], row["action"], row["data"]["code"]) == ("refused", "blob.put", code)
    assert api.get(URL).status_code == 404


@pytest.mark.services
def test_an_operator_uploads_more_than_fits_into_json(api):
    body = os.urandom(3 << 20)
    sha = hashlib.sha256(body).hexdigest()
    headers = api._headers | {"Content-Type": "application/octet-stream"}

    put = api._client.put(f"/v1/blobs/{sha}", data=body, headers=headers)

    assert put.status_code == 201
    assert api.get(f"/v1/blobs/{sha}").data == body


# --- files of the artifact folder ---


@pytest.fixture
def named(api, tmp_path):
    """An image whose disk has BODY's checksum, and where the disk should lie."""
    api.made("/v1/artifacts", make.artifact())
    sums = {"vmlinuz": "0" * 64, "initrd.img": "1" * 64, "disk.raw": SHA}
    api.made("/v1/images", make.image(checksums=sums))
    return tmp_path / "artifacts" / make.artifact()["prefix"] / "disk.raw"


@pytest.mark.services
def test_a_file_of_an_image_is_a_blob_without_a_copy(holder, named, folder):
    named.parent.mkdir(parents=True, exist_ok=True)
    named.write_bytes(BODY)

    assert holder.client.get(holder.link).data == BODY
    assert not (folder / place(SHA)).exists()


@pytest.mark.services
def test_it_is_read_once_however_often_it_is_asked_for(app, holder, named, monkeypatch):
    named.parent.mkdir(parents=True, exist_ok=True)
    named.write_bytes(BODY)
    holder.client.get(holder.link)
    monkeypatch.setattr(hashlib, "file_digest", None)

    assert holder.client.get(holder.link).data == BODY


@pytest.mark.services
def test_a_file_that_is_no_longer_what_the_image_says_is_not_served(holder, named):
    named.parent.mkdir(parents=True, exist_ok=True)
    named.write_bytes(BODY)
    assert holder.client.get(holder.link).status_code == 200

    named.write_bytes(BODY[::-1])

    assert holder.client.get(holder.link).status_code == 404


@pytest.mark.services
@pytest.mark.parametrize("way", ["missing", "leads out", "a folder", "a pipe"])
def test_a_file_that_cannot_be_served_is_not_there(holder, named, tmp_path, way):
    named.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "outside").write_bytes(BODY)
    {
        "missing": lambda: None,
        "leads out": lambda: named.symlink_to(tmp_path / "outside"),
        "a folder": named.mkdir,
        "a pipe": lambda: os.mkfifo(named),
    }[way]()

    assert holder.client.get(holder.link).status_code == 404


# --- as a process ---


@pytest.fixture
def process(settings, folder, tmp_path):
    change = {"SPROUT_BLOB_DIR": str(folder), "SPROUT_ARTIFACT_DIR": str(tmp_path / "artifacts")}
    return settings | change


def offset(url, headers):
    return int(requests.head(url, headers=headers, timeout=60).headers["Upload-Offset"])


def operator(edge, sha):
    return f"{edge.url}/v1/blobs/{sha}", {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.services
def test_many_read_ranges_of_a_large_blob_at_once(process, folder, tmp_path):
    body = os.urandom(8 << 20)
    sha = hashlib.sha256(body).hexdigest()
    (folder / place(sha)).parent.mkdir(parents=True)
    (folder / place(sha)).write_bytes(body)

    def fetched(edge, start):
        url, headers = operator(edge, sha)
        asked = headers | {"Range": f"bytes={start}-{start + (1 << 20) - 1}"}
        answer = requests.get(url, headers=asked, timeout=60)
        while answer.status_code == 503:
            answer = requests.get(url, headers=asked, timeout=60)
        return answer.content

    with serving(process, tmp_path) as edge, ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda n: fetched(edge, n << 20), range(8)))

    assert b"".join(parts) == body


@pytest.mark.services
def test_a_client_that_leaves_gives_its_place_back(process, folder, tmp_path):
    (folder / place(SHA)).parent.mkdir(parents=True)
    with (folder / place(SHA)).open("wb") as content:
        content.truncate(256 << 20)  # what it holds does not matter here

    with serving(process, tmp_path) as edge:
        url, headers = operator(edge, SHA)
        for _ in range(TRANSFERS + 2):
            with requests.get(url, headers=headers, stream=True, timeout=60) as answer:
                until(lambda found=answer: found.status_code in {200, 503})

        until(lambda: requests.head(url, headers=headers, timeout=60).status_code == 200)
        got = requests.get(url, headers=headers | {"Range": "bytes=0-9"}, timeout=60)
        assert got.content == bytes(10)


@pytest.mark.services
def test_an_upload_goes_on_after_the_edge_was_killed(process, tmp_path):
    body = os.urandom(4 << 20)
    sha = hashlib.sha256(body).hexdigest()
    with serving(process, tmp_path) as edge:
        url, headers = operator(edge, sha)
        host, _, port = edge.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as line:
            head = (
                f"PUT /v1/blobs/{sha} HTTP/1.1\r\nHost: {host}\r\n"
                f"Authorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            line.sendall(head.encode() + body[: 1 << 20])
            until(lambda: offset(url, headers))
            os.killpg(edge.master.pid, signal.SIGKILL)

    with serving(process, tmp_path) as edge:
        have = offset(url, headers)
        rest = {"Content-Range": f"bytes {have}-{len(body) - 1}/{len(body)}"}
        done = requests.put(url, data=body[have:], headers=headers | rest, timeout=60)

        assert (0 < have <= 1 << 20, done.status_code) == (True, 201)
        assert requests.get(url, headers=headers, timeout=60).content == body


@pytest.mark.services
def test_a_disk_without_room_is_a_problem_that_says_so(process, tmp_path):
    body = os.urandom(3 << 20)
    sha = hashlib.sha256(body).hexdigest()
    with serving(process, tmp_path) as edge:
        for each in psutil.Process(edge.master.pid).children():
            each.rlimit(psutil.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        url, headers = operator(edge, sha)
        answer = requests.put(url, data=body, headers=headers, timeout=60)

        assert (answer.status_code, answer.json()["type"]) == (507, "/problems/disk-full")
        assert int(answer.headers["Upload-Offset"]) == offset(url, headers) == 1 << 20
        assert edge.get("/v1/sites").status_code == 200


@pytest.mark.services
def test_no_line_of_the_log_holds_a_right(process, database_url, tmp_path):
    with borrowed():
        url = blobs.upload(TASK, SITE, datetime.now(UTC))
    right = url.partition("?g=")[2]
    with serving(process, tmp_path) as edge:
        for more in ("", "x"):
            requests.put(f"{edge.url}{url.format(sha256=SHA)}{more}", data=BODY, timeout=60)

        assert right not in edge.log.read_text()
