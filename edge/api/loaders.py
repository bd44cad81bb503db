"""Loaders as a body names them, by kind of machine: nothing but what a site has a name for."""

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, StringConstraints

from edge.api.fields import CLOSED
from pxe_stack import firmware


def _one_of(names: Iterable[str]) -> StringConstraints:
    return StringConstraints(pattern=f"^({'|'.join(map(re.escape, sorted(set(names))))})$")


Kind = Annotated[str, _one_of(each.name for each in firmware.ARCHITECTURES.values())]
Loader = Annotated[str, _one_of(firmware.LOADERS)]
Loaders = Annotated[
    dict[Kind, Loader],
    Field(
        description="What machines of a kind are started by here, where it is not the site's "
        "usual loader for them.",
        json_schema_extra=CLOSED,
    ),
]
