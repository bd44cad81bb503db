"""NoCloud's documents as YAML: what cloud-init, or the small part of it that we ship, reads.

Block style, never folded, so that readers of a small part of YAML can read it too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from models.bootplan import Addressing
from models.errors import Invalid

FIELD: Final = "/cloudConfigTemplate"
HOME_POSTS: Final = ("pub_key_ed25519", "pub_key_rsa", "instance_id", "hostname", "fqdn")
HOME_TRIES: Final = 10
MOST_DEEP: Final = 32
"""Levels of lists and mappings: no cloud-config has as many, and thousands take minutes to read."""


def dump(value: Mapping[str, Any]) -> str:
    """Return *value* as YAML in canonical form."""
    return yaml.safe_dump(dict(value), default_flow_style=False, allow_unicode=True, width=2**30)


def cloud_config(text: str) -> dict[str, Any]:
    """Return the mapping that the operator's *text* is.

    Raises Invalid for text that is no YAML, for aliases, for what is nested over MOST_DEEP
    levels, and for YAML that is no mapping.
    """
    try:
        _demand_small(text)
        config = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as exc:
        # Without its cause, which quotes the line: a profile may hold a password.
        raise unfit(f"it is no YAML: {_where(exc)}") from None
    if config is None:
        return {}
    if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
        raise unfit("it must be a mapping with text for keys")
    return config


def _demand_small(text: str) -> None:
    """Raise Invalid for a text that stands for more than it is long."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        # A few nested aliases stand for gigabytes.
        if isinstance(event, yaml.AliasEvent):
            raise unfit("YAML aliases are not for these templates")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEEP:
            raise unfit(f"it is nested over {MOST_DEEP} levels deep")


def _where(exc: Exception) -> str:
    """Return the line and the rule that is broken, and nothing of what stands there."""
    if isinstance(exc, yaml.MarkedYAMLError) and exc.problem_mark is not None:
        return f"line {exc.problem_mark.line + 1}: {exc.problem}"
    return type(exc).__name__


def user_data(
    config: Mapping[str, Any], *, hostname: str, fqdn: str, ssh_keys: Sequence[str], home_url: str
) -> dict[str, Any]:
    """Return *config* with what every machine gets; its own SSH keys come first."""
    listed = config.get("ssh_authorized_keys") or []
    if not isinstance(listed, list):
        raise unfit("ssh_authorized_keys must be a list")
    return {
        **config,
        "hostname": hostname,
        "fqdn": fqdn,
        "ssh_authorized_keys": list(dict.fromkeys([*map(str, listed), *ssh_keys])),
        "phone_home": {"url": home_url, "post": list(HOME_POSTS), "tries": HOME_TRIES},
    }


def network_config(mac: str, told: Addressing) -> dict[str, Any]:
    """Return netplan's version 2, static: the host keeps its address whether Sprout runs or not."""
    device: dict[str, Any] = {
        "match": {"macaddress": mac},
        "addresses": [f"{told.address}/{told.prefix_length}"],
    }
    if told.gateway:
        device["routes"] = [{"to": "0.0.0.0/0", "via": told.gateway}]
    search = [told.domain] if told.domain else []
    if told.dns or search:
        device["nameservers"] = {"addresses": list(told.dns), "search": search}
    return {"version": 2, "ethernets": {"boot": device}}


def unfit(why: str) -> Invalid:
    """Return the error that says what is wrong with a profile's cloud-config."""
    return Invalid(
        f"the cloud-config template cannot be used: {why}"[:500],
        field=FIELD,
        hint="Write cloud-config YAML with values such as {{ hostname }}, {{ fqdn }} or"
        " {{ address }}, and {% if %} at most.",
    )
