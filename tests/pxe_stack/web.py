"""Both processes of boot HTTP as threads on loopback, and a client that writes bytes."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.bootplan import Addressing
from pxe_stack import boot_sources
from pxe_stack.http_line import Patience
from pxe_stack.http_loop import Limits
from pxe_stack.http_server import Server
from pxe_stack.loaders import Loaders
from pxe_stack.site_directory import Stores
from tests.pxe_stack import make

HERE = Addressing(address="127.0.0.1", prefix_length=8)
QUICK = Patience(idle=0.6, head=0.6, body=0.6, stall=0.6, ending=0.3)


@dataclass
class Web:
    """Boot HTTP at *port* of 127.0.0.1."""

    port: int
    stores: Stores
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10, (source, 0))

    def tell(self, data: bytes, source: str = "127.0.0.1") -> bytes:
        """Return everything that is answered to *data* until the connection ends."""
        with self.connect(source) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return everything(sock)

    def get(self, path: str, *fields: str) -> bytes:
        lines = (f"GET {path} HTTP/1.1", "Host: s", "Connection: close", *fields, "", "")
        return self.tell("\r\n".join(lines).encode())

    def rows(self, kind) -> list:
        return [seen for _, seen in self.stores.journal.pending(0, 100_000) if seen.kind is kind]

    def put_file(self, url_path: str, content: bytes) -> None:
        path = self.folder / url_path.replace("/", "-")
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        given = {"sha256": digest, "size": len(content), "chunks": f"1 {digest}\n"}
        self.stores.plans.put_file(url_path, path, **given)


def everything(sock: socket.socket) -> bytes:
    """Return what comes until the other end closes."""
    came = bytearray()
    while data := sock.recv(65536):
        came += data
    return bytes(came)


def sources(stores: Stores, folder: Path, **more) -> boot_sources.Sources:
    """What boot HTTP answers from, where DHCP is another's."""
    return boot_sources.Sources(
        directory=stores.directory,
        journal=stores.journal,
        loaders=Loaders((folder,)),
        key=make.KEY,
        boot_url=make.URL,
        dhcp_on=False,
        **more,
    )


@contextmanager
def server(
    folder: Path,
    listener: socket.socket | None,
    limits: Limits | None = None,
    proxies: tuple[str, ...] = (),
) -> Iterator[Server]:
    """One of the processes, as a thread with stores of its own."""
    stores = Stores(folder, make.AGENT)
    reader, writer = socket.socketpair()

    made = Server(
        lambda defer: sources(stores, folder, defer=defer),
        stores.journal,
        folder,
        listener=listener,
        proxies=proxies,
        limits=limits,
    )
    thread = threading.Thread(target=made.run, args=(reader,))
    thread.start()
    try:
        yield made
    finally:
        writer.send(b"\0")
        thread.join(60)
        stores.close()
        reader.close()
        writer.close()


@contextmanager
def serving(
    folder: Path,
    *services: str,
    limits: Limits | None = None,
    proxies: tuple[str, ...] = (),
) -> Iterator[Web]:
    """Boot HTTP with *services*, `http` and `files` by default."""
    stores = Stores(folder, make.AGENT)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    with ExitStack() as stack:
        stack.callback(stores.close)
        stack.callback(listener.close)
        if "files" in (services or ("files",)):
            stack.enter_context(server(folder, None, limits, proxies))
        stack.enter_context(server(folder, listener, limits, proxies))
        stores.plans.put(make.plan(addressing=HERE))
        yield Web(listener.getsockname()[1], stores, folder)
