"""A keyring for tests: in a file, or broken on purpose."""

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend


class Ring(KeyringBackend):
    """Keeps passwords in the file that RING_FILE names."""

    priority = 5
    name = "a ring of tests"

    def _kept(self):
        path = Path(os.environ["RING_FILE"])
        return json.loads(path.read_text()) if path.exists() else {}

    def _write(self, kept):
        Path(os.environ["RING_FILE"]).write_text(json.dumps(kept))

    def get_password(self, service, username):
        return self._kept().get(f"{service} {username}")

    def set_password(self, service, username, password):
        self._write({**self._kept(), f"{service} {username}": password})

    def delete_password(self, service, username):
        kept = self._kept()
        del kept[f"{service} {username}"]
        self._write(kept)


class Locked(Ring):
    """Lets nothing in or out."""

    def get_password(self, service, username):
        raise RuntimeError("locked")

    set_password = delete_password = get_password
