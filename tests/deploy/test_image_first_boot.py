"""What the first boot reads, held against what wrote it; and the scripts that run as root."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2] / "deploy" / "image"
READ = (
    "binmode STDIN, ':utf8'; local $/; "
    "print JSON::PP->new->utf8->canonical->encode("
    "[map { Sprout::Yaml::read_yaml($_) } split /\\n=====\\n/, <STDIN>])"
)
WORDS = st.text(
    st.characters(min_codepoint=32, max_codepoint=126)
    | st.characters(min_codepoint=0xC0, max_codepoint=0x24F),
    max_size=60,
)
KEYS = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
VALUES = st.recursive(
    WORDS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4)
        | st.dictionaries(KEYS, inner, min_size=1, max_size=4)
    ),
    max_leaves=8,
)


def read(*documents):
    """Read each document with the parser that the image carries."""
    words = ["perl", f"-I{ROOT}/rootfs/usr/lib/sprout", "-MJSON::PP", "-MSprout::Yaml", "-e", READ]
    done = subprocess.run(
        words, input="\n=====\n".join(documents), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def written(value):
    return "#cloud-config\n" + yaml.safe_dump(value, allow_unicode=True)


def test_a_quoted_url_of_phone_home_is_read_whole():
    url = "http://10.77.0.1:8081/boot/a71d6632-9be2-485d-8bb6-e450a2fefd96/0f/phone-home"

    # As control writes it: quoted, because a slot stood in it when it was written.
    assert read(f"#cloud-config\nphone_home:\n  url: '{url}'\n") == [{"phone_home": {"url": url}}]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(KEYS, VALUES, min_size=1), max_size=3))
def test_whatever_is_written_in_block_style_is_read_as_it_was_meant(values):
    plain = [v for v in values if "\n=====\n" not in written(v) and not _long_key(v)]

    assert read(*map(written, plain)) == plain


def _long_key(value):
    """Keys over a line's length, or over several lines, are written with a question mark."""
    text = yaml.safe_dump(value, allow_unicode=True)
    return any(line.lstrip().startswith(("? ", "- ? ")) for line in text.splitlines())


SHELL = sorted(
    path
    for folder in ("initramfs", "inventory", "rootfs")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and (path.suffix == ".sh" or path.read_bytes().startswith(b"#!/bin/sh"))
)


@pytest.mark.services
@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_what_runs_as_root_on_a_machine_passes_shellcheck(script):
    words = ["shellcheck", "--shell=dash", "--external-sources", "--exclude=SC1091", str(script)]

    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=script.parent)

    assert done.returncode == 0, done.stdout
