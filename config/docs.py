"""Writes `.env.example` and the README's table from the settings, or says that they differ.

python -m config.docs --write    after a change of the settings
python -m config.docs --check    exit 1 and name each file that is out of date
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from config.capabilities import Capabilities
from config.settings import Settings, variable

ROOT: Final = Path(__file__).parents[1]
START: Final = "<!-- settings: written by python -m config.docs --write -->"
END: Final = "<!-- /settings -->"

HEADINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "server_types_file": "Hosts, rebuilt with Proxmox VE",
        "data_dir": "Where things lie",
        "database_url": "PostgreSQL and the broker; empty under `sprout up`",
        "api_url": "The edge, and control",
        "site_id": "A site",
        "bmc_networks": "Security",
        "log_level": "Logs",
        "network_provider": "Capabilities: builtin, or an external system",
    }
)
"""The first variable of each section, and what the section is called."""


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Yield each setting, capabilities last: few change them."""
    every = Settings.model_fields
    yield from ((name, info) for name, info in every.items() if name not in _capabilities())
    yield from ((name, info) for name, info in every.items() if name in _capabilities())


def default(info: FieldInfo) -> str:
    """Return the default as one would write it in `.env`."""
    extra = info.json_schema_extra
    if isinstance(extra, dict) and "shown" in extra:
        return str(extra["shown"])
    match info.default:
        case None | ():
            return ""
        case bool(value):
            return str(value).lower()
        case SecretStr() as secret:
            return secret.get_secret_value()
        case value:
            return str(value)


def env_example() -> str:
    """Return `.env.example`: every variable with its default, commented out."""
    lines = ["# Copy to .env and change what you need; the environment wins over this file."]
    for name, info in fields():
        if name in HEADINGS:
            lines += ["", f"## {HEADINGS[name]}"]
        lines += [f"# {info.description}", f"#{variable(name)}={default(info)}"]
    return "\n".join(lines) + "\n"


def table() -> str:
    """Return the README's table of settings."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, info in fields():
        shown = f"`{default(info)}`" if default(info) else ""
        rows.append(f"| `{variable(name)}` | {shown} | {info.description} |")
    return "\n".join(rows)


def with_table(readme: str) -> str:
    """Return *readme* with the table between its marks."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table()}\n{END}{after}"


def wanted(root: Path = ROOT) -> Mapping[Path, str]:
    """Return what each file is to hold."""
    readme = root / "README.md"
    return {
        root / ".env.example": env_example(),
        readme: with_table(readme.read_text(encoding="utf8")),
    }


def main(arguments: list[str]) -> int:
    """Write, or check; return the exit status."""
    stale = [path for path, text in wanted().items() if _held(path) != text]
    if arguments == ["--write"]:
        for path in stale:
            path.write_text(wanted()[path], encoding="utf8")
        return 0
    for path in stale:
        print(f"{path.name}: out of date; run python -m config.docs --write")
    return 1 if stale else 0


def _capabilities() -> frozenset[str]:
    return frozenset(Capabilities.model_fields)


def _held(path: Path) -> str:
    return path.read_text(encoding="utf8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
