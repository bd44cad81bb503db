"""A machine that deploy/install.sh runs on: an empty root, a source, and a docker that records."""

import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.services.from_file import RUN

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy/install.sh"
FILES = ["docker-compose.yml", "server-types.yaml", "provisioning.yaml", ".env"]
TOOLS = (
    *("awk", "cat", "chmod", "cp", "curl", "cut", "dirname", "head", "ln", "mkdir", "mv", "od"),
    *("rm", "rmdir", "sed", "sh", "sha256sum", "tr"),
)
"""All that the script may need of a machine, besides docker and perhaps `ip`."""

HASH = "scrypt$15$8$1$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
ITS_OWN = f"exec {sys.executable} -c '{RUN.replace(chr(39), chr(34))}' hash-password"
"""What the product itself says of a password."""

DOCKER = """\
#!/bin/sh
printf '%s\\n' "$*" >>'{log}'
case "$*" in
"compose version") exit {composes} ;;
*" hash-password") {hashes} ;;
esac
"""
IP = """\
#!/bin/sh
case "$*" in
*default*) echo "default via 10.3.0.1 dev lan0 proto dhcp src 10.3.0.7 metric 100" ;;
*"dev lan0 "*) echo "10.3.0.0/22 proto kernel scope link src 10.3.0.7 metric 100" ;;
esac
"""


class Machine:
    """One machine; its programs lie in a folder of their own, and so does what is installed."""

    def __init__(self, folder):
        self.root = folder / "opt/provisioning"
        self.log = folder / "docker.log"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.docker()

    def program(self, name, text):
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def docker(self, hashes=f"cat >/dev/null; echo '{HASH}'", *, composes=0):
        """Have docker answer so from now on."""
        text = DOCKER.format(log=self.log, hashes=hashes, composes=composes)
        self.program("docker", text)

    def install(self, *words, script=SCRIPT, **variables):
        """Run the script, whose variables are *variables* without their prefix."""
        env = {"PATH": str(self.bin), "PYTHONPATH": str(ROOT), "PROVISIONING_ROOT": str(self.root)}
        env |= {f"PROVISIONING_{name}": value for name, value in variables.items()}
        return subprocess.run(
            [str(script), *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def installed(self):
        """Return what there is, by name, all that is hidden too."""
        return {path.name: path.read_text() for path in sorted(self.root.iterdir())}

    def mode(self, name=""):
        return (self.root / name).stat().st_mode & 0o777

    def asked(self):
        """Return what docker was called with."""
        return self.log.read_text().splitlines() if self.log.exists() else []


def password(done):
    """Return the password that is shown, and nothing where none is."""
    mark = "the admin's password, which is shown once: "
    return "".join(
        line.removeprefix(mark) for line in done.stdout.splitlines() if line.startswith(mark)
    )


def published(folder):
    """Make what a web server has for the script, as the Makefile does; return its folder."""
    words = ["make", "--silent", "--directory", str(ROOT), "installer", f"DIST={folder}"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    subprocess.run(words, check=True, env=env)
    return folder


@contextmanager
def web(folder, changed=lambda name, body: body):
    """Serve *folder*, each file's body as *changed* makes it; yield its URL, and what was asked.

    A body of None: the connection ends in the midst of it.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.lstrip("/")
            asked.append(name)
            path = folder / name
            if not path.is_file():
                self.send_error(404)
                return
            body = changed(name, path.read_bytes())
            self.send_response(200)
            if body is None:
                self.send_header("Content-Length", "1000")
                body = b"cut"
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
