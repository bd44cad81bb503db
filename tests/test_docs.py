import re
from pathlib import Path

import pytest

from config import docs
from config.settings import Settings, variable

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf8")
OTHERS = ("SPROUT_SECRET_", "SPROUT_UP_")
"""Prefixes of names that operators make up, and by which `sprout up` knows its own processes."""


@pytest.mark.parametrize(
    ("path", "text"), docs.wanted().items(), ids=lambda v: getattr(v, "name", "")
)
def test_settings_class_and_documents_are_equal(path, text):
    assert path.read_text(encoding="utf8") == text


def test_every_setting_says_what_it_means():
    assert all(info.description for _, info in docs.fields())


def test_every_variable_of_the_notes_is_a_setting():
    capabilities = ("NETWORK", "IPAM", "DHCP", "DNS", "HARDWARE_TESTING", "ALLOCATION")
    named = {
        "SPROUT_SITE_ID", "SPROUT_API_TOKEN", "SPROUT_VAULT_ADDRESS", "SPROUT_VAULT_TOKEN",
        "SPROUT_SECRET_ENV_PREFIX", "SPROUT_TLS_ENABLED", "SPROUT_TLS_CA_FILE",
        "SPROUT_TLS_CERT_FILE", "SPROUT_TLS_KEY_FILE", "SPROUT_WORKLOAD_TRUST_DOMAIN",
        "SPROUT_DHCP_BIND_INTERFACE", "SPROUT_DHCP_BIND_ADDR", "SPROUT_DNS_BIND_ADDR",
        "SPROUT_PROVISIONING_DOMAIN",
    }  # fmt: skip
    for capability in capabilities:
        named |= {
            f"SPROUT_{capability}_{end}" for end in ("PROVIDER", "EXTERNAL_URL", "EXTERNAL_TOKEN")
        }

    assert named <= {variable(field) for field in Settings.model_fields}


def test_every_variable_that_the_code_names_is_a_setting():
    settings = {variable(field) for field in Settings.model_fields}
    folders = ("config", "models", "pxe_stack", "actors", "edge", "deploy")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]

    unknown = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in sources
        for name in re.findall(r"\bSPROUT_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf8"))
        if name not in settings and not name.startswith(OTHERS)
    }

    assert unknown == set()


def test_every_make_command_of_the_readme_is_a_target():
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", README))

    assert named <= targets()


def test_every_target_is_in_the_readme_or_the_contributing_guide():
    guide = README + (ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf8")

    assert {name for name in targets() if f"make {name}" not in guide} == set()


def test_map_names_every_folder_and_no_other():
    mapped = set(re.findall(r"^\| `([a-z_]+)/` \|", README, re.MULTILINE))

    assert mapped == {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")}


def targets():
    """Return the names of the Makefile's targets."""
    return set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
