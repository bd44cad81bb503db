"""What anyone may read without logging in: versions, the service root, and the OData documents.

Source: DMTF DSP0266 §6, §8.4.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from xml.sax.saxutils import quoteattr

from deploy.rack.redfish.exchange import Response, shown
from deploy.rack.redfish.shapes import ROOT, Resource

_SCHEMAS: Final = "http://redfish.dmtf.org/schemas/v1"
_EDMX: Final = "http://docs.oasis-open.org/odata/ns/edmx"
_EDM: Final = "http://docs.oasis-open.org/odata/ns/edm"


def find(path: str, resources: Mapping[str, Resource]) -> Response | None:
    """Return the public document at *path*, or None when there is none."""
    match path:
        case "/redfish":
            return shown({"v1": f"{ROOT}/"})
        case "/redfish/v1":
            return shown(resources[ROOT])
        case "/redfish/v1/odata":
            return shown(_services(resources[ROOT]))
        case "/redfish/v1/$metadata":
            xml = {"Content-Type": "application/xml"}
            return Response(HTTPStatus.OK, _metadata(resources).encode(), xml)
        case _:
            return None


def _services(root: Resource) -> Resource:
    links = [
        {"name": name, "kind": "Singleton", "url": value["@odata.id"]}
        for name, value in root.items()
        if isinstance(value, dict) and "@odata.id" in value
    ]
    return {"@odata.context": f"{ROOT}/$metadata", "value": links}


def _metadata(resources: Mapping[str, Resource]) -> str:
    types = {str(resource["@odata.type"])[1:] for resource in resources.values()}
    references = "".join(map(_reference, sorted({_namespace(kind) for kind in types})))
    root = _namespace(resources[ROOT]["@odata.type"][1:])
    container = (
        f'<edmx:DataServices><Schema xmlns="{_EDM}" Namespace="Service">'
        f'<EntityContainer Name="Service" Extends="{root}.ServiceContainer"/>'
        "</Schema></edmx:DataServices>"
    )
    return f'<edmx:Edmx xmlns:edmx="{_EDMX}" Version="4.0">{references}{container}</edmx:Edmx>'


def _namespace(kind: str) -> str:
    """`Drive.v1_18_0.Drive` → `Drive.v1_18_0`; a collection has no version."""
    return kind.rpartition(".")[0]


def _reference(namespace: str) -> str:
    schema = namespace.partition(".")[0]
    uri = quoteattr(f"{_SCHEMAS}/{schema}_v1.xml")
    includes = "".join(
        f"<edmx:Include Namespace={quoteattr(name)}/>" for name in sorted({schema, namespace})
    )
    return f"<edmx:Reference Uri={uri}>{includes}</edmx:Reference>"
