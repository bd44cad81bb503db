"""Boot HTTP: the real connection, over bytes instead of a socket, down to the real answers."""

import hashlib
import json
import os
import tempfile
from collections import Counter
from pathlib import Path

from models.bootplan import Access, Addressing, Document, token
from models.phases import Phase
from pxe_stack import boot
from pxe_stack.boot_sources import Sources
from pxe_stack.directory import Known, StoredFile
from pxe_stack.downloads import Downloads
from pxe_stack.http_line import Line, Patience, State
from pxe_stack.loaders import Loaders
from tests.pxe_stack import make

LONGEST = 4096
RUN = make.plan().run
TOKENS = (
    *(b"\r\n\r\n", b"\r\n", b" HTTP/1.1\r\n", b"Host: s\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Content-Length: ", b"Range: bytes=", b"Expect: 100-continue\r\n", b"If-None-Match: *\r\n"),
    *(b"If-Match: *\r\n", b"X-Request-Id: "),
    *(b"/ipxe/", b"/boot/", b"/artifacts/os/vmlinuz", b"/loaders/snponly.efi", b"%2e%2e/", b"%00"),
    *(b"/latest/meta-data/", b"POST ", b"HEAD ", b"Connection: close\r\n", str(RUN).encode()),
    *(token(make.KEY, RUN, each).encode() for each in Access),
)
_ME = "127.0.0.1"
_SEED = Document(
    name="seed/meta-data", access=Access.SEED, media_type="text/plain", body="instance-id: i\n"
)


class _Paper:
    """Takes observations, each of which must be plain JSON; keeps none."""

    def append(self, observation):
        json.dumps(observation.encode())
        return 1

    def acked_at(self, mac):
        return 1.0


class _Plans:
    """One machine and one file."""

    def __init__(self, folder):
        base = make.plan()
        plan = make.plan(
            addressing=Addressing(address=_ME, prefix_length=8), documents=(*base.documents, _SEED)
        )
        self.known = Known(plan=plan, phase=Phase.PXE_READY, authority=True)
        path = folder / "vmlinuz"
        path.write_bytes(bytes(range(256)) * 20)
        data = path.read_bytes()
        self.stored = StoredFile(
            url_path="os/vmlinuz",
            location=path,
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            mtime_ns=path.stat().st_mtime_ns,
        )

    def by_mac(self, mac):
        return self.known if mac == self.known.plan.mac else None

    def by_run(self, run):
        return self.known if run == self.known.plan.run else None

    def by_address(self, address):
        return self.known if address == _ME else None

    def by_caller(self, caller):
        return self.known if self.known.plan.mac in caller.macs else None

    def file(self, url_path):
        return self.stored if url_path == self.stored.url_path else None

    def chunks(self, url_path):
        return "sprout-chunks 1 5120 0\n" if url_path == "os/vmlinuz" else None


class _Bytes:
    """As much of a socket as a connection uses: *came* is read in pieces, *left* is what it says.

    Files go to /dev/null.
    """

    def __init__(self, pieces, null):
        self.pieces = pieces
        self.null = null
        self.left = bytearray()

    def recv(self, most):
        if not self.pieces:
            return b""
        piece, self.pieces[0] = self.pieces[0][:most], self.pieces[0][most:]
        if not self.pieces[0]:
            del self.pieces[0]
        return piece

    def send(self, data, flags=0):
        self.left += data
        return len(data)

    def fileno(self):
        return self.null

    def settimeout(self, seconds): ...
    def setsockopt(self, *words): ...
    def shutdown(self, how): ...
    def close(self): ...


class Case:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        (folder / "snponly.efi").write_bytes(bytes(range(256)) * 4)
        self.null = os.open(os.devnull, os.O_WRONLY)
        self.sources = Sources(
            directory=_Plans(folder),
            journal=_Paper(),
            loaders=Loaders((folder,)),
            key=make.KEY,
            boot_url=make.URL,
            dhcp_on=True,
            clock=lambda: 2.0,
            downloads=Downloads(),
        )
        self.patience = Patience()
        self.counts = Counter()

    def one(self, data):
        """Take *data*: a byte that says where it is cut in two, then all that a client sends."""
        if not data:
            return
        at = data[0] * 4 + 1
        pieces = [piece for piece in (data[1:at], data[at:]) if piece]
        sock = _Bytes(pieces, self.null)
        line = Line(
            sock, _ME if data[0] & 1 else "10.77.0.99", self.patience, self.take, self.counts
        )
        try:
            while line.turn():
                pass
        except ConnectionError:
            pass
        finally:
            line.close()
        assert not sock.left or sock.left.startswith(b"HTTP/1.1 "), bytes(sock.left[:60])

    def take(self, line, request):
        assert line.state is State.ANSWER
        made = boot.answer(self.sources, request)
        assert made.status.value != 500
        line.answer(made)


def _message(method, path, *fields, body=b""):
    lines = (f"{method} {path} HTTP/1.1", "Host: s", *fields, "", "")
    return "\r\n".join(lines).encode("latin-1") + body


def seeds():
    """Requests of machines, of curl, and of nobody good."""
    own = {each: f"/boot/{RUN}/{token(make.KEY, RUN, each)}" for each in Access}
    form = b"disk=abc&written=10&total=20&reason=%e4%20x"
    sized = f"Content-Length: {len(form)}"
    chunked = b"5\r\ndisk=\r\n3;x=y\r\nabc\r\n0\r\n\r\n"
    asked = [
        _message("GET", "/healthz"),
        _message("GET", f"/ipxe/{make.MAC}"),
        _message("GET", f"/ipxe/{make.MAC}/trouble?errno=4c0a&stage=kernel"),
        _message("GET", "/ipxe/52:54:00:99:99:99"),
        _message("GET", f"{own[Access.SCRIPT]}/script"),
        _message("GET", f"{own[Access.SEED]}/manifest"),
        _message("GET", f"{own[Access.SEED]}/seed/meta-data"),
        _message("POST", f"{own[Access.CALLBACK]}/started", sized, body=form),
        _message("POST", f"{own[Access.CALLBACK]}/progress", sized, body=form[:9]),
        _message(
            "POST",
            f"{own[Access.CALLBACK]}/failed",
            "Transfer-Encoding: chunked",
            "Expect: 100-continue",
            body=chunked,
        ),
        _message("GET", "/artifacts/os/vmlinuz", "Range: bytes=10-99"),
        _message("GET", "/artifacts/os/vmlinuz", "Range: bytes=-5,0-1,900-", 'If-Range: "x"'),
        _message("HEAD", "/artifacts/os/vmlinuz", "Connection: close"),
        _message("GET", "/artifacts/os/vmlinuz.chunks"),
        _message("GET", "/artifacts/%2e%2e/%2e%2e/etc/passwd"),
        _message("GET", "/artifacts/../../etc/passwd"),
        _message("GET", "/loaders/snponly.efi", "If-None-Match: *"),
        _message("GET", "/artifacts/os/vmlinuz", 'If-Match: "x"', "X-Request-Id: a-1"),
        _message("GET", "/loaders/../secret"),
        _message("GET", "/latest/meta-data/instance-id"),
        _message("GET", "/2009-04-04/user-data"),
        _message("GET", "http://s:8081/healthz"),
        _message("GET", "/" + "a" * 2040),
        _message("GET", "/healthz", *(f"X-{n}: y" for n in range(63))),
        _message(
            "POST", "/boot/x/y/started", "Content-Length: 3", "Content-Length: 4", body=b"abc"
        ),
        _message("POST", "/boot/x/y/started", "Content-Length: 99999999"),
        _message("TRACE", "/healthz"),
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"\r\n" + _message("GET", "/healthz") + _message("GET", "/healthz"),
        b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3",
        _message("GET", "/\xff\xfe"),
    ]
    return [bytes((cut,)) + raw for raw in asked for cut in (0, 1, 7, 255)]
