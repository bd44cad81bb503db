"""`python -m actors.providers`: try a provider against the contract.

Exit status: 0 it keeps to it, 1 it does not, 2 the arguments are not enough.
"""

import config.lean  # noqa: F401 - before structlog, which it keeps small

# isort: split

import argparse
import json
import sys
from ipaddress import IPv4Network

from actors.control import provisions
from actors.drivers.vault import resolvers
from actors.providers import conformance
from actors.providers.conformance import Finding, Trial
from config.capabilities import CAPABILITIES, CONTRACT, External
from config.settings import BadSettings, Settings, environment

UNUSABLE = 2


def main() -> int:
    """Try it, and say what was found."""
    asked = _asked()
    try:
        settings = Settings.load()
    except BadSettings as exc:
        sys.stderr.write(f"{exc}\n")
        return UNUSABLE
    external = External(
        capability=asked.cap,
        kind=CONTRACT,
        url=asked.url,
        token=asked.token_ref,
        ca_file=settings.provider_ca_file,
    )
    known = resolvers(
        environment(),
        settings.secret_env_prefix,
        settings.vault_address,
        settings.vault_token.get_secret_value(),
        settings.vault_ca_file,
    )
    trial = Trial(
        provisions.contract_peer(external, known),
        IPv4Network(asked.network),
        settings.provisioning_domain,
    )
    findings = []
    for finding in conformance.tried(trial, asked.cap):
        findings.append(finding)
        if not asked.json:
            _say(finding)
    if asked.json:
        sys.stdout.write(json.dumps([{"name": f.name, "fault": f.fault} for f in findings]) + "\n")
    return int(any(finding.fault for finding in findings))


def _asked() -> argparse.Namespace:
    reader = argparse.ArgumentParser("sprout providers check", description=__doc__)
    reader.add_argument("--cap", required=True, choices=CAPABILITIES)
    reader.add_argument("--url", required=True, help="base URL of the provider")
    reader.add_argument("--token-ref", default="", help="env:NAME or vault:PATH#KEY")
    reader.add_argument("--network", default="192.0.2.0/24", help="one that the provider serves")
    reader.add_argument("--json", action="store_true")
    return reader.parse_args()


def _say(finding: Finding) -> None:
    fault = f": {finding.fault}" if finding.fault else ""
    sys.stdout.write(f"{'FAILED' if fault else 'ok    '}  {finding.name}{fault}\n")


if __name__ == "__main__":
    sys.exit(main())
