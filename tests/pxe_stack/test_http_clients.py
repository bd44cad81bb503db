"""Real clients of boot HTTP, and nginx in front of it with the configuration that is shipped."""

import hashlib
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from models import bootplan
from models.bootplan import Access
from models.observations import Seen
from tests.pxe_stack import make, web
from tests.pxe_stack.lab import until
from tests.services import process

pytestmark = pytest.mark.services

BIG = os.urandom(1 << 20) * 8
SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx" / "sprout-boot.conf"
PLAN = make.plan(addressing=web.HERE)
DONE = bootplan.url(PLAN, make.KEY, Access.CALLBACK, "installed").removeprefix(make.URL)


def run(*words, **options):
    given = {"capture_output": True, "timeout": 60}
    return subprocess.run(words, check=False, **given | options)


@pytest.fixture
def boot(tmp_path):
    with web.serving(tmp_path) as made:
        made.put_file("os/disk.raw", BIG)
        yield made


CLIENTS = {
    "curl": ("curl", "-sf", "-o", "got"),
    "curl-http1.0": ("curl", "-sf", "--http1.0", "-o", "got"),
    "wget": ("wget", "-q", "-O", "got"),
    "busybox": ("busybox", "wget", "-q", "-O", "got"),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_fetch_an_artifact_whole(boot, client, tmp_path):
    went = run(*CLIENTS[client], f"{boot.url}/artifacts/os/disk.raw", cwd=tmp_path)

    assert went.returncode == 0, went.stderr
    assert (tmp_path / "got").read_bytes() == BIG


RESUMING = {
    "curl": ("curl", "-sf", "-C", "-", "-o", "got"),
    "wget": ("wget", "-q", "-c", "-O", "got"),
    "busybox": ("busybox", "wget", "-q", "-c", "-O", "got"),
}


@pytest.mark.parametrize("client", RESUMING)
def test_clients_go_on_where_a_download_was_cut(boot, client, tmp_path):
    (tmp_path / "got").write_bytes(BIG[:3_000_001])

    went = run(*RESUMING[client], f"{boot.url}/artifacts/os/disk.raw", cwd=tmp_path)

    assert went.returncode == 0, went.stderr
    assert (tmp_path / "got").read_bytes() == BIG


@pytest.mark.parametrize(
    "words",
    [
        ("curl", "-sf", "-d", "disk=vda"),
        ("curl", "-sf", "-H", "Transfer-Encoding: chunked", "-d", "disk=vda"),
        ("curl", "-sf", "-H", "Expect: 100-continue", "-d", "disk=vda"),
        ("wget", "-q", "-O-", "--post-data", "disk=vda"),
        ("busybox", "wget", "-q", "-O-", "--post-data", "disk=vda"),
    ],
    ids=" ".join,
)
def test_clients_post_callbacks(boot, words):
    went = run(*words, f"{boot.url}{DONE}")

    assert went.stdout == b"ok\n"
    assert boot.rows(Seen.INSTALLED)[0].data["disk"] == "vda"


def test_curl_sends_many_requests_over_one_connection(boot):
    urls = [f"{boot.url}/healthz", f"{boot.url}/loaders/none"] * 20

    went = run("curl", "-s", "-o", "/dev/null", "-w", "\nconnects=%{num_connects}\n", *urls)

    assert sum(map(int, re.findall(rb"connects=(\d)", went.stdout))) == 1


@contextmanager
def in_front(boot, folder):
    """nginx with what is shipped, at folders and ports of the test."""
    (port,) = process.free_ports(1)
    folder.mkdir()
    text = SHIPPED.read_text(encoding="ascii").replace(
        "/var/lib/sprout/artifacts/", f"{boot.folder}/"
    )
    text = text.replace("127.0.0.1:8082", f"127.0.0.1:{boot.port}")
    text = text.replace("listen 8081", f"listen 127.0.0.1:{port}")
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    (folder / "nginx.conf").write_text(
        f"user root; daemon off; pid {folder}/pid; error_log {folder}/error.log;"
        f"events {{}} http {{ {temporary} {text} }}",
        encoding="ascii",
    )
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert nginx
    child = process.launch([nginx, "-c", str(folder / "nginx.conf")], folder / "log")
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: run("curl", "-sf", f"{url}/healthz").stdout == b"ok\n")
        yield url
    finally:
        process.stop(child)


@pytest.fixture
def behind(tmp_path):
    """(boot HTTP that believes nginx, the URL of nginx)"""
    with web.serving(tmp_path, proxies=("127.0.0.1",)) as boot:
        boot.put_file("os/disk.raw", BIG)
        with in_front(boot, tmp_path / "nginx") as url:
            yield boot, url


def test_nginx_sends_the_files_that_the_site_points_it_to(behind):
    boot, url = behind
    digest = hashlib.sha256(BIG).hexdigest()

    whole = run("curl", "-sfi", f"{url}/artifacts/os/disk.raw").stdout
    part = run("curl", "-sf", "-r", "1000-1999", f"{url}/artifacts/os/disk.raw").stdout

    head, _, body = whole.partition(b"\r\n\r\n")
    assert hashlib.sha256(body).hexdigest() == digest
    assert b"Server: nginx" in head
    assert b"Repr-Digest: sha-256=:" in head
    assert part == BIG[1000:2000]
    assert boot.rows(Seen.ARTIFACT_SERVED)[0].data["bytes"] == 0  # what nginx sent, it knows


def head(*words):
    """(status, fields in lower case) of curl's answer to *words*."""
    said = run("curl", "-si", "-o", "/dev/null", "-D", "-", *words).stdout.decode("latin-1")
    line, *fields = said.strip().split("\r\n")
    return int(line.split()[1]), {
        name.lower(): value for name, _, value in (each.partition(": ") for each in fields)
    }


@pytest.mark.parametrize("by", ["itself", "nginx"])
def test_what_is_known_of_a_file_is_not_sent_again_and_no_two_are_mixed(behind, by):
    boot, url = behind
    url = f"{url if by == 'nginx' else boot.url}/artifacts/os/disk.raw"
    etag = f'"{hashlib.sha256(BIG).hexdigest()}"'
    some = ("-H", "Range: bytes=5-9")

    status, fields = head(url)
    asked = {
        "known": head(url, "-H", f"If-None-Match: {etag}"),
        "another": head(url, "-H", 'If-None-Match: "x"'),
        "part of the same": head(url, *some, "-H", f"If-Range: {etag}"),
        "part of another": head(url, *some, "-H", 'If-Range: "x"'),
        "only the same": head(url, "-H", f"If-Match: {etag}"),
        "only another": head(url, "-H", 'If-Match: "x"'),
        "beyond": head(url, "-r", "99999999-"),
        "head": head(url, "-I"),
    }

    assert (status, fields["etag"], fields["accept-ranges"]) == (200, etag, "bytes")
    assert {what: answer[0] for what, answer in asked.items()} == {
        "known": 304,
        "another": 200,
        "part of the same": 206,
        "part of another": 200,
        "only the same": 200,
        "only another": 412,
        "beyond": 416,
        "head": 200,
    }
    assert asked["part of the same"][1]["content-range"] == f"bytes 5-9/{len(BIG)}"
    assert asked["beyond"][1]["content-range"] == f"bytes */{len(BIG)}"
    assert asked["head"][1]["content-length"] == str(len(BIG))


def test_each_answer_of_nginx_bears_the_id_of_its_request(behind):
    _, url = behind
    ours = ("-H", "X-Request-Id: node-7")
    script = bootplan.url(PLAN, make.KEY, Access.SCRIPT, "script").removeprefix(make.URL)
    paths = ("/artifacts/os/disk.raw", script, "/nothing", "/_artifacts/x", "/healthz")

    told = [head(url + path, *ours)[1]["x-request-id"] for path in paths]
    made = [head(url + path, "-H", "X-Request-Id: no id")[1]["x-request-id"] for path in paths]
    large = head(url + DONE, *ours, "--data-binary", "x" * 100_000)

    assert told == ["node-7"] * len(paths)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)
    assert (large[0], large[1]["x-request-id"]) == (413, "node-7")


def test_what_a_client_says_of_internal_locations_is_not_believed(behind, tmp_path):
    boot, url = behind
    (tmp_path / "secret").write_text("secret")
    forged = (
        ("-H", f"X-Sprout-Accel: {boot.folder}/=/_cache/"),
        ("-H", "X-Accel-Redirect: /_artifacts/secret"),
        ("-H", "X-Sendfile: /etc/passwd"),
    )

    for words in forged:
        status, fields = head(f"{url}/artifacts/os/disk.raw", *words)
        went = run("curl", "-s", *words, f"{url}/artifacts/os/disk.raw")
        lost = run("curl", "-s", *words, f"{url}/nothing")
        assert (status, went.stdout == BIG, lost.stdout) == (200, True, b"not found\n")
        assert not {"x-accel-redirect", "x-sendfile"} & fields.keys()


def test_the_machine_behind_nginx_is_who_asks(behind):
    _, url = behind
    script = bootplan.url(PLAN, make.KEY, Access.SCRIPT, "script").removeprefix(make.URL)

    mine = run("curl", "-sf", f"{url}{script}").stdout
    lied = run(
        "curl", "-sf", "--interface", "127.0.0.9", "-H", "X-Real-IP: 127.0.0.1", url + script
    )

    assert b"kernel" in mine
    assert b"starting its own disk" in lied.stdout


def test_nobody_fetches_from_the_internal_locations_of_nginx(behind):
    _, url = behind

    for path in ("/_artifacts/os-disk.raw", "/_cache/x", "/_artifacts/../journal.db"):
        went = run(
            "curl", "-s", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", url + path
        )
        assert went.stdout == b"404"


def test_who_is_no_proxy_is_not_believed(boot):
    went = run(
        "curl", "-si", "-H", f"X-Sprout-Accel: {boot.folder}/=/x/", "-H", "X-Real-IP: 10.0.0.1",
        f"{boot.url}/artifacts/os/disk.raw",
    )  # fmt: skip

    assert b"X-Accel-Redirect" not in went.stdout
    assert BIG in went.stdout
