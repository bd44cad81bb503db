"""Machines as documents: what PostgreSQL makes of them is what the views say."""

from dataclasses import fields
from uuid import UUID, uuid4

import pytest
from pydantic import TypeAdapter

from models import documents, queries
from models.commands import asks
from models.errors import NotFound
from models.kinds import Kind
from models.tables import Machine
from models.views import MachineView
from tests.models import make

pytestmark = pytest.mark.services

SAYS = TypeAdapter(MachineView)


@pytest.fixture
def scene(db):
    return make.Scene()


def said(machine: UUID):
    """Return the view of *machine*, as far as JSON can say it."""
    view = queries.machine(machine)
    return SAYS.dump_python(view, mode="json") | {"address": view.address}


def normal(document):
    """Return *document* as a view that was read from it would say it: moments have many forms."""
    known = {field.name for field in fields(MachineView)}
    view = SAYS.validate_python({k: v for k, v in document.items() if k in known})
    return SAYS.dump_python(view, mode="json") | {"address": document["address"]}


def test_a_document_says_what_the_view_says(scene):
    assert normal(documents.machine(scene.machine)) == said(scene.machine)


def test_of_several_workflows_the_newest_is_said(scene):
    for kind in (Kind.POWER_ON, Kind.POWER_OFF):
        asks.power(make.ADA, scene.machine, kind)

    document = documents.machine(scene.machine)

    assert document["workflow"]["kind"] == "power-off"
    assert normal(document) == said(scene.machine)


def test_what_its_bmc_told_wins(scene):
    Machine.update(memory_mib=1, found_memory_mib=2, disk_bytes=3, found_disk_bytes=None).execute()

    document = documents.machine(scene.machine)

    assert (document["memory_mib"], document["disk_bytes"]) == (2, 3)
    assert normal(document) == said(scene.machine)


def test_several_come_in_the_order_in_which_they_are_asked_for(scene):
    other = make.machine(scene.site, "other", [make.interface("52:54:00:00:99:01")])

    found = documents.machines([other, uuid4(), scene.machine])

    assert [each["id"] for each in found] == [str(other), str(scene.machine)]


def test_a_machine_is_found_by_its_name_in_any_case(scene):
    name = queries.machine(scene.machine).hostname

    assert documents.machine(name.upper())["id"] == str(scene.machine)


@pytest.mark.parametrize("ref", ["nobody", str(UUID(int=0)), "", "' OR 1=1"])
def test_what_is_not_there_is_not_found(scene, ref):
    with pytest.raises(NotFound, match="no machine"):
        documents.machine(ref)


def test_a_name_that_two_sites_have_is_nobody_s(scene):
    name = queries.machine(scene.machine).hostname
    make.machine(make.site("far"), name, [make.interface("52:54:00:00:99:02")])

    with pytest.raises(NotFound, match="2 machines"):
        documents.machine(name)
