"""What others serve on loopback: files to fetch, and a webhook that integrations post to."""

from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Thread


class Hook(BaseHTTPRequestHandler):
    """Takes what is posted, and keeps it."""

    calls: SimpleQueue

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.calls.put((self.headers, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


@dataclass
class Waiting:
    """Where a webhook is, and what came to it."""

    url: str
    calls: SimpleQueue

    def heard(self):
        """Return the first call, None before it."""
        return None if self.calls.empty() else self.calls.get()


@contextmanager
def serving(handler):
    """Serve HTTP on loopback by *handler*; return the URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def webhook():
    """Serve what integrations post to."""
    calls = SimpleQueue()
    with serving(type("Bound", (Hook,), {"calls": calls})) as url:
        yield Waiting(f"{url}/hook", calls)
