"""Server types: read strictly, followed, and the last good ones kept."""

import os
from pathlib import Path

import pytest

from config import server_types
from config.policy import BadFile, read

EXAMPLE = Path(__file__).parents[2] / "deploy" / "server-types.example.yaml"
GOOD = "ms-01:\n  display_name: MS-01\n  boot_disk: nvme0n1\n  management_nic: enp2s0\n"


def written(path, text, *, second=0):
    """Write *text* as if it had been there for a while; each *second* is another change."""
    path.write_text(text)
    os.utime(path, (1_000_000 + second, 1_000_000 + second))
    return path


def test_the_example_shows_every_key():
    types = server_types.parsed(read(EXAMPLE))

    stated = {key for one in types.values() for key in one.model_fields_set}
    assert stated == set(server_types.ServerType.model_fields)
    assert types["minisforum-ms-01"].boot_disk == "/dev/nvme0n1"
    assert types["minisforum-um790"].wake_on_lan is True


def test_a_type_is_loaded_with_its_iso_unless_it_says_that_its_firmware_cannot(tmp_path):
    types = server_types.parsed(read(written(tmp_path / "types.yaml", GOOD)))
    other = server_types.parsed(read(written(tmp_path / "2.yaml", GOOD + "  boot: overlay\n")))

    assert [kind.stated()["boot"] for kind in (types["ms-01"], other["ms-01"])] == [
        "iso",
        "overlay",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "file"),
        ("[]", "file"),
        ("ms-01: {}", "ms-01.display_name"),
        (GOOD + "  bootdisk: sda\n", "ms-01.bootdisk"),
        (GOOD + "  gpu: perhaps\n", "ms-01.gpu"),
        (GOOD + "  boot: overlai\n", "ms-01.boot: .*'iso' or 'overlay'"),
        (GOOD + "  boot: [overlay]\n", "ms-01.boot"),
        (GOOD + "  boot: yes\n", "ms-01.boot"),
        (GOOD.replace("nvme0n1", "nvme0n1; reboot"), "ms-01.boot_disk"),
        (GOOD.replace("enp2s0", "e"), "ms-01.management_nic"),
        (GOOD.replace("ms-01:", "MS 01:"), "MS 01"),
        (GOOD + GOOD, "stands twice"),
    ],
)
def test_a_fault_is_told_at_its_place(tmp_path, text, words):
    path = written(tmp_path / "types.yaml", text)

    with pytest.raises(BadFile, match=words):
        server_types.parsed(read(path))


def test_a_bad_file_leaves_the_last_good_one_in_force_and_says_so(tmp_path):
    clock = iter(range(0, 100, 10)).__next__
    path = written(tmp_path / "types.yaml", GOOD)
    types = server_types.Followed(path, server_types.parsed, clock=lambda: float(clock()))
    assert list(types.current()) == ["ms-01"]

    written(path, "ms-01: nothing\n", second=1)
    kept, trouble = list(types.current()), types.trouble
    written(path, GOOD.replace("ms-01:", "ms-02:"), second=2)
    changed = list(types.current())

    assert (kept, "ms-01" in trouble) == (["ms-01"], True)
    assert (changed, types.trouble) == (["ms-02"], "")
