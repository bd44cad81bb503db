"""What a run of Proxmox VE's installer is served: one stored ISO, with each run's own words."""

import os
import subprocess
from itertools import count
from uuid import uuid4

import pytest

from actors.drivers import installer_iso
from models import bootplan
from models.bootplan import Access, Document, File, slot
from models.observations import Seen
from pxe_stack import http, iso_slot, run_files
from pxe_stack.http_answer import Laid
from tests.actors.installer_isos import an_iso, content
from tests.pxe_stack import make, web
from tests.pxe_stack.lab import until

WORDS = Document(
    name=run_files.WORDS,
    access=Access.SEED,
    media_type="application/toml",
    body=f'mode = "http"\n[http]\ntoken = "{slot("run.id")}:{slot("run.token.seed")}"\n',
)
URL_PATH = "proxmox/9.1-1/proxmox.iso"
VERSIONS = count(2)
"""A plan takes the place of an older one alone."""


def a_plan(**changes):
    given = {
        "version": next(VERSIONS),
        "addressing": web.HERE,
        "documents": (*make.plan().documents, WORDS),
        "files": (File(role="iso", path=URL_PATH, sha256="0" * 64),),
    }
    return make.plan(**given | changes)


PLAN = a_plan()


def path(name=run_files.ISO, plan=PLAN, access=Access.SEED):
    return bootplan.url(plan, make.KEY, access, name).removeprefix(make.URL)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The bytes of a stored ISO, and at which of them its slot begins."""
    folder = tmp_path_factory.mktemp("iso")
    made = installer_iso.made(an_iso(folder / "source.iso"), folder)
    return (folder / "proxmox.iso").read_bytes(), made.slot_at


@pytest.fixture
def stored(prepared):
    return prepared[0]


def words_of(plan):
    filled = bootplan.fill(WORDS.body, bootplan.slot_values(plan, make.KEY))
    return iso_slot.slot(filled)


def patched(prepared, plan=PLAN):
    """The stored ISO with a run's words written into it, as a copy for that run would be."""
    raw, at = prepared
    return raw[:at] + words_of(plan) + raw[at + iso_slot.SLOT :]


@pytest.fixture(params=["together", "alone"])
def boot(request, tmp_path, stored):
    services = () if request.param == "together" else ("http",)
    with web.serving(tmp_path, *services) as made:
        made.stores.plans.put(PLAN)
        made.put_file(URL_PATH, stored)
        yield made


def reader(raw):
    return lambda start, length: raw[start : start + length]


def head(data):
    first, *lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines)


def body(data):
    return data.partition(b"\r\n\r\n")[2]


def pieces(laid, start, length):
    """What leaves for a range, taken as the server takes it: a few bytes at a time."""
    source, sent, at = bytes(range(40)), b"", start
    while at < start + length:
        due = laid.due(at, min(7, start + length - at))
        sent += due if isinstance(due, bytes) else source[at : at + due]
        at = start + len(sent)
    return sent


def test_every_part_of_a_file_with_something_laid_over_it_is_that_of_a_patched_copy():
    laid = Laid(13, b"ABCDEFGHIJK")
    copy = bytes(range(13)) + b"ABCDEFGHIJK" + bytes(range(24, 40))

    for start in range(40):
        for length in range(1, 41 - start):
            assert pieces(laid, start, length) == copy[start : start + length]


def test_the_slot_is_found_in_the_iso_itself_where_it_was_made(prepared):
    raw, at = prepared

    assert iso_slot.place(reader(raw), len(raw)) == at


def test_the_whole_iso_is_that_of_a_copy_for_the_run_and_reads_as_an_iso(boot, prepared, tmp_path):
    came = boot.get(path())

    assert head(came)[0] == 200
    assert body(came) == patched(prepared)
    (served := tmp_path / "served.iso").write_bytes(body(came))
    said = content(served, "/auto-installer-mode.toml").decode()
    assert f"{PLAN.run}:{bootplan.token(make.KEY, PLAN.run, Access.SEED)}" in said


def test_all_but_the_slot_leaves_by_sendfile_from_the_stored_file(boot, prepared, monkeypatch):
    sent = []

    def noted(out, source, offset, count, send=os.sendfile):
        sent.append((offset, send(out, source, offset, count)))
        return sent[-1][1]

    monkeypatch.setattr(os, "sendfile", noted)
    came = body(boot.get(path()))

    raw, at = prepared
    assert came == patched(prepared)
    assert sum(length for _, length in sent) == len(raw) - iso_slot.SLOT
    assert all(start + length <= at or start >= at + iso_slot.SLOT for start, length in sent)


def ranges(at, size):
    """Ranges before, up to, into, inside, across, out of, from and after the slot, and others."""
    end = at + iso_slot.SLOT
    bounds = (0, 1, at - 1, at, at + 1, at + 1000, end - 1, end, end + 1, size - 1)
    pairs = [f"{first}-{last}" for first in bounds for last in bounds if first <= last]
    return [*pairs, f"{at + 5}-", "0-", "-1", f"-{size - at - 9}", f"{size - 1}-{size + 9}"]


def test_every_kind_of_range_is_that_of_a_patched_copy(boot, prepared):
    copy, at = patched(prepared), prepared[1]
    with boot.connect() as sock:
        for each in ranges(at, len(copy)):
            status, part = ranged(sock, each, len(copy))
            assert (status, part) == (206, sliced(copy, each)), each


def ranged(sock, each, size):
    sock.sendall(f"GET {path()} HTTP/1.1\r\nHost: s\r\nRange: bytes={each}\r\n\r\n".encode())
    came = b""
    while b"\r\n\r\n" not in came:
        came += sock.recv(65536)
    status, fields = head(came)
    while len(body(came)) < int(fields["Content-Length"]):
        came += sock.recv(size)
    return status, body(came)


def sliced(copy, each):
    first, _, last = each.partition("-")
    if not first:
        return copy[-int(last) :]
    return copy[int(first) : int(last) + 1 if last else None]


def test_a_range_outside_is_refused_with_the_size(boot, stored):
    status, fields = head(boot.get(path(), f"Range: bytes={len(stored)}-"))

    assert (status, fields["Content-Range"]) == (416, f"bytes */{len(stored)}")


def test_head_tells_what_get_would_and_sends_nothing(boot, stored):
    lines = (f"HEAD {path()} HTTP/1.1", "Host: s", "Connection: close", "", "")
    told = boot.tell("\r\n".join(lines).encode())
    got = boot.get(path())

    same = ("Content-Length", "ETag", "Accept-Ranges", "Content-Type", "Cache-Control")
    assert body(told) == b""
    assert [head(told)[1][name] for name in same] == [head(got)[1][name] for name in same]
    assert head(got)[1]["Content-Length"] == str(len(stored))
    assert "Repr-Digest" not in head(got)[1]


def test_a_download_is_gone_on_with_only_by_the_run_that_began_it(boot, prepared):
    other = a_plan(run=uuid4(), machine=uuid4(), mac="52:54:00:00:00:02")
    mine = head(boot.get(path()))[1]["ETag"]
    boot.stores.plans.put(other)

    same = boot.get(path(), "Range: bytes=7-", f"If-Range: {mine}")
    another = boot.get(path(plan=other), "Range: bytes=7-", f"If-Range: {mine}")

    assert (head(same)[0], body(same)) == (206, patched(prepared)[7:])
    assert (head(another)[0], body(another)) == (200, patched(prepared, other))


def test_one_stored_iso_serves_many_runs_each_with_its_own_words(boot, prepared):
    others = [a_plan(run=uuid4(), machine=uuid4(), mac=f"52:54:00:00:01:{n:02x}") for n in range(5)]
    for each in others:
        boot.stores.plans.put(each)

    came = [body(boot.get(path(plan=each))) for each in others]

    assert came == [patched(prepared, each) for each in others]
    assert len(set(came)) == 5


def test_what_was_sent_is_written_down_without_the_token(boot, stored):
    boot.get(path())

    until(lambda: boot.rows(Seen.ARTIFACT_SERVED))
    (row,) = boot.rows(Seen.ARTIFACT_SERVED)
    assert (row.data["bytes"], row.data["whole"]) == (len(stored), True)
    assert row.run == PLAN.run
    assert bootplan.token(make.KEY, PLAN.run, Access.SEED) not in str(row.data)


STRANGE = {
    "another-token": path(access=Access.SCRIPT),
    "no-such-run": path(plan=a_plan(run=uuid4())),
    "no-run": "/boot/x/y/proxmox.iso",
    "no-token": "/boot/proxmox.iso",
}


@pytest.mark.parametrize("case", STRANGE)
@pytest.mark.parametrize("name", [run_files.ISO, run_files.OVERLAY])
def test_a_stranger_is_given_neither(boot, case, name):
    assert head(boot.get(STRANGE[case].replace(run_files.ISO, name)))[0] == 404


def test_another_address_is_given_neither(boot):
    plan = a_plan(addressing=make.plan().addressing)
    boot.stores.plans.put(plan)

    assert head(boot.get(path(plan=plan)))[0] == 404


def test_a_run_of_another_installer_has_no_such_files(boot):
    boot.stores.plans.put(a_plan(documents=make.plan().documents))

    assert head(boot.get(path()))[0] == 404
    assert head(boot.get(path(run_files.OVERLAY)))[0] == 404


def test_an_iso_that_did_not_arrive_yet_is_not_there(boot):
    boot.stores.plans.put(a_plan(files=(File(role="iso", path="other.iso", sha256="0" * 64),)))

    assert head(boot.get(path()))[0] == 404


BAD = {
    "empty": lambda raw, at: b"",
    "no-iso": lambda raw, at: b"a" * len(raw),
    "cut-before-its-slot": lambda raw, at: raw[:at],
    "cut-inside-its-slot": lambda raw, at: raw[: at + 100],
    "root-far-outside": lambda raw, at: raw[:32926] + b"\xff" * 4 + raw[32930:],
    "root-without-length": lambda raw, at: raw[:32934] + bytes(4) + raw[32938:],
}


@pytest.mark.parametrize("case", BAD)
def test_an_iso_that_was_not_prepared_or_is_damaged_is_not_served(boot, prepared, case):
    boot.put_file(URL_PATH, BAD[case](*prepared))

    status, _ = head(boot.get(path()))

    assert status == 503


def test_one_as_it_came_from_the_vendor_is_not_served(boot, tmp_path):
    boot.put_file(URL_PATH, an_iso(tmp_path / "raw.iso").read_bytes())

    assert head(boot.get(path()))[0] == 503


def test_one_that_others_prepared_says_itself_where_to_ask_and_stays_as_it_is(boot, tmp_path):
    more = {("/AUTO_INS.TOM;1", "auto-installer-mode.toml"): b'mode = "http"\n'}
    raw = an_iso(tmp_path / "other.iso", more=more).read_bytes()
    boot.put_file(URL_PATH, raw)

    whole, part = boot.get(path()), boot.get(path(), "Range: bytes=7-")

    assert (head(whole)[0], body(whole)) == (200, raw)
    assert (head(part)[0], body(part)) == (206, raw[7:])


def test_damage_anywhere_in_the_directory_is_a_place_inside_the_iso_or_a_refusal(prepared):
    raw, right = prepared
    found = set()
    for at in [*range(32_768, 32_768 + 2048, 11), *range(32_768 + 6 * 2048, right, 7)]:
        bad = bytearray(raw)
        bad[at] ^= 0xFF
        try:
            place = iso_slot.place(
                lambda start, n, bad=bad: bytes(bad[start : start + n]), len(bad)
            )
        except iso_slot.NoSlot:
            continue
        assert 0 <= place <= len(raw) - iso_slot.SLOT
        found.add(place)

    assert right in found


def test_words_that_do_not_fit_are_not_served_in_part(boot):
    long = Document(**{**vars_of(WORDS), "body": "#" * 2049})
    boot.stores.plans.put(a_plan(documents=(long,)))

    assert head(boot.get(path()))[0] == 503


def vars_of(document):
    return {name: getattr(document, name) for name in document.__dataclass_fields__}


def test_the_edge_that_boots_by_itself_serves_the_same_bytes(boot, prepared):
    client = http.app(web.sources(boot.stores, boot.folder)).test_client()
    copy, at = patched(prepared), prepared[1]

    whole = client.get(path())
    across = client.get(path(), headers={"Range": f"bytes={at - 3}-{at + 3000}"})

    assert whole.data == copy
    assert (across.status_code, across.data) == (206, copy[at - 3 : at + 3001])


def test_a_proxy_in_front_is_not_asked_to_send_what_only_a_run_may_have(tmp_path, stored, prepared):
    with web.serving(tmp_path, proxies=("127.0.0.1",)) as made:
        made.stores.plans.put(PLAN)
        made.put_file(URL_PATH, stored)

        came = made.get(path(), f"X-Sprout-Accel: {tmp_path}/=/_artifacts/")

    assert body(came) == patched(prepared)


def test_the_overlay_names_the_run_s_iso_its_size_and_the_card(boot, stored, tmp_path):
    archive = body(boot.get(path(run_files.OVERLAY)))

    words = ["cpio", "--extract", "--quiet", "--format=newc", "--to-stdout", "pxe-init.conf"]
    told = subprocess.run(words, input=archive, check=True, capture_output=True).stdout
    assert told.decode().split() == [make.URL + path(), str(len(stored)), PLAN.mac]
