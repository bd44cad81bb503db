"""Secrets that are known, put wherever one can be put, and looked for wherever one may come out."""

import base64
import json
import os
import re
import secrets
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg2
import requests

from edge import passwords
from tests.services.postgres import BIN

TAPPED = {"public.outbox": "body", "queue.messages": "body"}
"""Where messages pass, and the column that holds them."""


def canary(name):
    """Return a secret that stands nowhere else, and says where it was put."""
    return f"canary-{name}-{secrets.token_hex(12)}"


def forms(secret):
    """Return the shapes in which a secret may come out: as it is, quoted, hexadecimal, base64."""
    raw = secret.encode()
    plain = {secret, quote(secret, safe=""), raw.hex(), json.dumps(secret)[1:-1]}
    shifted = (
        base64.b64encode(b"0" * n + raw)[skipped:-4] for n, skipped in ((0, 0), (1, 2), (2, 3))
    )
    return {each.encode() for each in plain} | set(shifted)


class Finds:
    """Where secrets came out: (secret's name, place)."""

    def __init__(self, planted):
        self._planted = {name: forms(secret) for name, secret in planted.items()}
        self.found = set()
        self.places = set()

    def look(self, place, text):
        raw = text if isinstance(text, bytes) else text.encode()
        self.places.add(place)
        for name, shapes in self._planted.items():
            if any(shape in raw for shape in shapes):
                self.found.add((name, place))


_TRIGGER = """
CREATE FUNCTION tap.{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN INSERT INTO tap.heard VALUES ('{table}', NEW.{column}); RETURN NULL; END $$;
CREATE TRIGGER tap AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION tap.{name}()
"""


class Tap:
    """Copies of all messages, whoever takes them away: kept by triggers, from now on."""

    def __init__(self, url):
        self._url = url

    def open(self):
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA tap; CREATE TABLE tap.heard (place text, body bytea)")
            for table, column in TAPPED.items():
                name = table.replace(".", "_")
                cursor.execute(_TRIGGER.format(name=name, table=table, column=column))
            connection.commit()

    def heard(self):
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT place, body FROM tap.heard")
            return [(place, bytes(body)) for place, body in cursor.fetchall()]


def dumped(url):
    """Return each table's part of a full dump, by its name."""
    words = [str(BIN / "pg_dump"), "--inserts", "--data-only", "--exclude-schema=tap", url]
    whole = subprocess.run(words, capture_output=True, check=True, text=True, timeout=60).stdout
    first, *rows = whole.split("INSERT INTO ")
    parts = {"": first}
    for row in rows:
        table = row.partition(" ")[0]
        parts[table] = parts.get(table, "") + row
    return parts


def logs(folder):
    """Return what each log file under *folder* holds, by its path there."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.log")}


def command_lines(folder):
    """Return the arguments of the product's processes, which everybody on the machine can read."""
    mark, found = f"SPROUT_DATA_DIR={folder}".encode(), {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found[process.name] = (process / "cmdline").read_bytes()
    return found


def walked(running, machine, workflow):
    """Return every answer of GET of the contract, and of every page, by its path."""
    paths = running.get("/v1/openapi.json")["paths"]
    given = {"machine": machine, "workflow": workflow, "site": "loopback"}
    found = {}
    for rule, verbs in paths.items():
        path = re.sub(r"{(\w+)}", lambda part: given.get(part[1], part[0]), rule)
        if "get" in verbs and "{" not in path and not endless(verbs["get"]):
            found[path] = running.call("GET", path).content
    return found | {"/metrics": requests.get(f"{running.url}/metrics", timeout=60).content}


def endless(operation):
    """Whether the answer is a stream; what it tells are rows, and those are looked through too."""
    return "text/event-stream" in operation["responses"]["200"].get("content", {})


def paged(running, machine, workflow):
    """Return every page that a signed-in person sees, by its path."""
    browser = requests.Session()
    code = running.call("POST", "/v1/sign-in-codes").json()["url"].partition("code=")[2]
    browser.post(f"{running.url}/sign-in", data={"code": code}, timeout=60)
    own = [f"/machines/{machine}", f"/machines/{machine}/reprovision", f"/workflows/{workflow}"]
    lists = ["/", "/workflows", "/approvals", "/discoveries", "/sites", "/sites/loopback", "/audit"]
    pages = {
        path: browser.get(running.url + path, headers={"Accept": "text/html"}, timeout=60)
        for path in (*lists, *own)
    }
    assert {answer.status_code for answer in pages.values()} == {200}
    return {path: answer.content for path, answer in pages.items()}, code


def database_url(running):
    """Return where the product's database is, as its edge knows it."""
    raw = Path(f"/proc/{running.pid('edge')}/environ").read_bytes()
    told = dict(each.split(b"=", 1) for each in raw.split(b"\0") if b"=" in each)
    return told[b"SPROUT_DATABASE_URL"].decode()


def everything(running, url, tap, pages):
    """Return all that is said, sent, kept and shown, by where it is."""
    machine = running.machine()
    flow = machine["workflow"]["id"]
    found = {f"log: {name}": raw for name, raw in logs(running.data).items()}
    found |= {f"answer: {path}": raw for path, raw in walked(running, machine["id"], flow).items()}
    found |= {f"page: {path}": raw for path, raw in pages.items()}
    found |= {f"argv: {pid}": raw for pid, raw in command_lines(running.data).items()}
    found |= {f"evidence: {n}": p.read_bytes() for n, p in enumerate(_blobs(running.data))}
    for place, raw in tap.heard():
        found[f"tap: {place}"] = found.get(f"tap: {place}", b"") + raw
    return found | dumped(url)


def _blobs(data):
    return [each for each in (data / "blobs").rglob("*") if each.is_file()]


def environment(planted):
    """Return the variables that a person sets with secrets in them."""
    return {
        "SPROUT_ADMIN_PASSWORD_HASH": passwords.hashed(planted["admin-password"]),
        "SPROUT_OIDC_ISSUER": "http://127.0.0.1:9",
        "SPROUT_OIDC_CLIENT_SECRET": planted["oidc-client"],
        "SPROUT_SECRET_WRONG": planted["bmc-wrong"],
        "SPROUT_SECRET_WEBHOOK": planted["webhook"],
        "SPROUT_VAULT_TOKEN": planted["vault-token"],
        **{f"SPROUT_{each}_EXTERNAL_TOKEN": planted["provider"] for each in ("IPAM", "DNS")},
        "SPROUT_OUTBOUND_ALLOW": "127.0.0.0/8",
        "SPROUT_LOG_LEVEL": "DEBUG",
        "SPROUT_BROKER": "postgres",
        "PATH": os.environ["PATH"],
    }
