"""EC2-style metadata as plain functions of a plan's documents, for images that read nothing else.

What cloud-init's Ec2 data source and cloudbase-init ask for; a folder is a listing of its names.
A plan whose documents carry no seed has no metadata.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import yaml

from models.bootplan import Access, BootPlan, Document

VERSIONS: Final = ("latest", "2009-04-04")
"""What cloud-init asks for when the newer versions, which only Amazon has, are not there."""

_META: Final = "seed/meta-data"
_USER: Final = "seed/user-data"

Tree = Mapping[str, "str | Tree"]


def document(plan: BootPlan, name: str) -> Document | None:
    """Return the document of *plan* called *name*, one that it carries or one that is made of them.

    *name* is like `script`, or `latest/meta-data/instance-id`.
    """
    version, _, rest = name.partition("/")
    if version not in VERSIONS:
        return plan.document(name)
    if rest.strip("/") == "user-data":
        return plan.document(_USER)
    meta = plan.document(_META)
    body = None if meta is None else _found(_root(plan, meta), rest)
    if body is None:
        return None
    return Document(name=name, access=Access.SEED, media_type="text/plain", body=body)


def _root(plan: BootPlan, meta: Document) -> Tree:
    user = plan.document(_USER)
    told = _mapping(meta.body)
    host = str(told.get("local-hostname", plan.hostname))
    keys = _mapping("" if user is None else user.body).get("ssh_authorized_keys") or []
    data: dict[str, str | Tree] = {
        "instance-id": str(told.get("instance-id", plan.run or plan.machine)),
        "hostname": host,
        "local-hostname": host,
        "local-ipv4": plan.addressing.address,
        "mac": plan.mac,
    }
    if keys:
        data["public-keys"] = {
            str(number): {"openssh-key": f"{key}\n"} for number, key in enumerate(keys)
        }
    return {"meta-data": data} | ({} if user is None else {"user-data": user.body})


def _found(tree: Tree, path: str) -> str | None:
    """Return the text at *path* below *tree*, or the listing of a folder there."""
    names = [name for name in path.split("/") if name]
    here: str | Tree | None = tree
    for name in names:
        here = None if isinstance(here, str) or here is None else here.get(name)
    if here is None or isinstance(here, str):
        return here
    if names[-1:] == ["public-keys"]:
        return "\n".join(f"{name}=sprout-{name}" for name in here)
    return "\n".join(name if isinstance(value, str) else f"{name}/" for name, value in here.items())


@lru_cache(maxsize=64)
def _mapping(body: str) -> dict[str, Any]:
    found = yaml.safe_load(body)  # ours: rendered by control from checked values
    return found if isinstance(found, dict) else {}
