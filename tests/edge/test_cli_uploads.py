"""A file is uploaded in parts, and gone on with where it broke off, whatever the edge does."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edge.cli import follow, uploading
from edge.cli.client import REFUSED, Api, Told

CONTENT = bytes(range(256)) * 10
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Shelf(BaseHTTPRequestHandler):
    """Keeps what comes, and does what stands in *odd* for each PUT, in order."""

    def do_HEAD(self):
        kept = self.server.kept
        if self.server.whole:
            self._say(200)
        else:
            self._say(404, Upload_Offset=self.server.shown or str(len(kept)))

    def do_PUT(self):
        length = int(self.headers["Content-Length"])
        first = int(self.headers["Content-Range"].removeprefix("bytes ").partition("-")[0])
        self.server.parts.append((first, length))
        odd = self.server.odd.pop(0) if self.server.odd else "takes"
        if odd == "breaks off":
            self._keep(first, self.rfile.read(length // 2))
            self.close_connection = True
            return
        piece = self.rfile.read(length)
        if isinstance(odd, int):
            self._say(odd, {"detail": "not now"})
            return
        self._keep(first, piece)
        done = len(self.server.kept) == len(CONTENT) and odd != "dies before it verifies"
        self.server.whole = done
        if odd == "dies before it verifies":
            self.close_connection = True
            return
        self._say(201 if done else 202, {"bytes": len(self.server.kept), "whole": done})

    def _keep(self, first, piece):
        assert first <= len(self.server.kept)
        self.server.kept[first : first + len(piece)] = piece

    def _say(self, status, body=None, **headers):
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def shelf(monkeypatch):
    monkeypatch.setattr(uploading, "PART", 1000)
    monkeypatch.setattr(follow, "EVERY_S", 0.01)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shelf)
    server.daemon_threads = True
    server.kept, server.whole, server.shown = bytearray(), False, ""
    server.parts, server.odd = [], []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "proxmox.iso"
    path.write_bytes(CONTENT)
    return path


def sent(shelf, file):
    return uploading.upload(Api(f"http://127.0.0.1:{shelf.server_port}", "t-1"), file)


def test_it_comes_in_parts_and_how_far_it_is_is_told(shelf, file, capsys):
    assert sent(shelf, file) == SHA256

    told = capsys.readouterr().err.splitlines()
    assert bytes(shelf.kept) == CONTENT
    assert shelf.parts == [(0, 1000), (1000, 1000), (2000, 560)]
    assert told[0].startswith("reading proxmox.iso: ")
    assert told[-1] == "uploading proxmox.iso: 100 %, 0 of 0 MiB"


def test_what_is_there_already_is_not_sent(shelf, file):
    shelf.whole = True

    assert sent(shelf, file) == SHA256
    assert shelf.parts == []


def test_it_goes_on_with_what_came_before(shelf, file):
    shelf.kept += CONTENT[:1700]

    sent(shelf, file)

    assert bytes(shelf.kept) == CONTENT
    assert shelf.parts == [(1700, 860)]


@pytest.mark.parametrize("odd", ["breaks off", 503, 409, 500])
def test_what_does_not_arrive_is_said_again_from_where_it_stands(shelf, file, odd):
    shelf.odd = ["takes", odd, odd]

    assert sent(shelf, file) == SHA256

    assert bytes(shelf.kept) == CONTENT
    assert len(shelf.parts) > 3


def test_what_has_come_and_nobody_verified_is_said_again_at_its_end(shelf, file):
    shelf.odd = ["takes", "takes", "dies before it verifies"]

    assert sent(shelf, file) == SHA256

    assert shelf.parts[-2:] == [(2000, 560), (2000, 560)]


@pytest.mark.parametrize("shown", ["9" * 30, "-1", "seven", "٣"])
def test_an_offset_that_makes_no_sense_is_no_place_to_go_on_from(shelf, file, shown):
    shelf.shown = shown.encode("utf-8").decode("latin-1")
    shelf.kept += CONTENT[:2000]

    assert sent(shelf, file) == SHA256


def test_a_refusal_is_told_and_not_tried_again(shelf, file):
    shelf.odd = [413]

    with pytest.raises(Told, match="not now") as caught:
        sent(shelf, file)

    assert caught.value.status == REFUSED
    assert len(shelf.parts) == 1


def test_a_file_that_becomes_shorter_meanwhile_is_told(shelf, file, monkeypatch):
    monkeypatch.setattr(uploading, "_sha256", lambda *_: file.write_bytes(b"x" * 7) and SHA256)

    with pytest.raises(Told, match="became shorter"):
        sent(shelf, file)
