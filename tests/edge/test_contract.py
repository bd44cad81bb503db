"""The contract is generated from the code, valid, and whole."""

import json
import re

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate
from referencing import Registry, Resource

from edge import openapi
from edge.api.fields import Body
from models import host_events
from models.host_events import Word
from tests.edge.conftest import Api
from tests.models.test_host_events import moved, row

APART = {"specification.show", "events.stream"}
"""What is no operation: the contract itself, and hints to pages."""

BOOTS = {
    "get /ipxe/{mac}",
    "post /api/boot/answer",
    "get /api/hosts/{host}/first-boot-script",
    "post /api/hosts/{host}/installed",
    "post /api/hosts/{host}/phone-home",
}
"""What anybody may ask, since a machine that boots has not signed in."""

BYTES = {"get /v1/blobs/{sha256}", "get /events"}
"""What answers with something else than JSON."""

PAGES = {"/": "/", "/hosts/<host>": "/hosts/{host}", "/ops/<uuid:workflow>": "/ops/{workflow}"}
"""Pages that the contract promises, by their rules."""

SERVED = ("/v1/", "/api/", "/ipxe/", "/events")

SCHEMAS = {"state": "HostMoved", "operation": "HostOperated", "activity": "HostSeen"}
"""Forms of the data of the events of hosts."""


@pytest.fixture
def contract(bare):
    return bare.api_doc


def operations(contract):
    for path, methods in contract["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def accepts(contract, reference, value):
    """Raise unless *value* is good by the schema that *reference* names."""
    document = Resource.opaque(contract)
    registry = Registry().with_resource("contract:", document)
    Draft202012Validator(
        {"$ref": f"contract:{reference}"}, registry=registry, format_checker=FormatChecker()
    ).validate(value)


def test_it_is_openapi_3_1(contract):
    validate(contract)

    assert contract["openapi"] == "3.1.0"


def test_every_route_of_v1_of_api_and_of_loaders_stands_in_it(bare, contract):
    served = {
        (method, re.sub(r"<([^>]+)>", r"{\1}", rule.rule))
        for rule in bare.url_map.iter_rules()
        if rule.rule.startswith(SERVED) and rule.endpoint not in APART
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    told = {(m.upper(), path) for path, methods in contract["paths"].items() for m in methods}
    assert told == served | {("GET", path) for path in PAGES.values()}
    assert {rule.rule for rule in bare.url_map.iter_rules()} >= set(PAGES)


HOSTS = {
    "get /": "showDashboard",
    "get /hosts/{host}": "showHostPage",
    "get /ops/{workflow}": "showOperationPage",
    "get /events": "streamHostEvents",
    "get /api/hosts": "listHosts",
    "post /api/hosts": "createHost",
    "get /api/hosts/{host}": "getHost",
    "delete /api/hosts/{host}": "deleteHost",
    "post /api/hosts/{host}/rebuild": "rebuildHost",
    "get /ipxe/{mac}": "getBootScript",
    "post /api/boot/answer": "createAnswer",
    "post /api/hosts/{host}/installed": "reportInstalled",
    "get /api/hosts/{host}/first-boot-script": "getFirstBootScript",
    "post /api/hosts/{host}/phone-home": "reportFirstBoot",
}
"""The paths that hosts are known by elsewhere: they stay."""


def test_the_paths_of_hosts_stand_beside_those_of_v1(contract):
    found = {name: operation["operationId"] for name, operation in operations(contract)}

    assert {name: each for name, each in found.items() if name.split("/")[1] != "v1"} == HOSTS


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_each_of_them_shows_what_it_answers_and_how_it_says_no(contract, name):
    operation = dict(operations(contract))[name]

    shown = [
        media
        for status, answer in operation["responses"].items()
        if status < "400"
        for media in answer.get("content", {}).values()
    ]
    assert all("example" in media or "examples" in media for media in shown)
    assert len(list(refusals(contract, operation))) >= 3


def test_every_operation_has_an_id_of_its_own(contract):
    ids = [operation["operationId"] for _, operation in operations(contract)]

    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", each) for each in ids)


def test_every_operation_says_how_it_can_fail(contract):
    lacking = {
        name
        for name, operation in operations(contract)
        if not {"421", "500", "503"} | signs_in(operation) <= operation["responses"].keys()
    }

    assert lacking == set()


def signs_in(operation):
    """Return what whoever has not signed in, or may not, is answered; nothing where anybody may."""
    return {"401", "403"} if operation.get("security") else set()


def test_only_booting_machines_are_answered_without_signing_in(contract):
    free = {name for name, operation in operations(contract) if not operation.get("security")}

    assert free == BOOTS


def test_what_a_booting_machine_asks_is_sent_on_and_its_answer_is_shown(contract):
    found = dict(operations(contract))
    for name in BOOTS:
        told = found[name]["responses"]
        assert "Location" in told["307"]["headers"], name
        for media in told["200"]["content"].values():
            accepts_all(media["schema"], media["example"])


def accepts_all(schema, value):
    Draft202012Validator(schema).validate(value)


def refusals(contract, operation):
    """Yield (status, example) of each way in which *operation* can say no."""
    for status, told in operation["responses"].items():
        if status >= "400":
            shared = contract["components"]["responses"][told["$ref"].rpartition("/")[2]]
            (media,) = shared["content"].items()
            assert media[0] == "application/problem+json"
            for example in media[1]["examples"].values():
                yield status, example["value"]


def test_every_refusal_of_every_operation_has_examples_whose_types_are_documented(bare, contract):
    client, types = bare.test_client(), set()
    for name, operation in operations(contract):
        shown = list(refusals(contract, operation))
        assert shown, name
        for status, example in shown:
            accepts(contract, "#/components/schemas/Problem", example)
            assert str(example["status"]) == status, name
            types.add(example["type"])

    for kind in types:
        page = client.get(kind, headers={"Accept": "text/html"})
        assert page.status_code == 200, kind
    assert len(types) > 30


def test_every_operation_and_every_parameter_says_what_it_is(contract):
    for name, operation in operations(contract):
        assert operation["summary"].endswith((".", ":")) or operation.get("description"), name
        assert operation["tags"], name
        for parameter in operation.get("parameters", []):
            assert parameter["schema"], (name, parameter["name"])


def test_every_reference_leads_somewhere(contract):
    names = set(re.findall(r"'\$ref': '#/components/(\w+)/(\w+)'", str(contract)))

    missing = {(kind, n) for kind, n in names if n not in contract["components"][kind]}
    assert missing == set()


def test_every_example_of_a_body_is_what_it_shows(contract):
    shown = 0
    for _, operation in operations(contract):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None and "$ref" in body["schema"]:
            accepts(contract, body["schema"]["$ref"], body["example"])
            shown += 1

    assert shown > 10


def test_every_good_answer_has_an_example_that_is_what_it_shows(contract):
    for name, operation in operations(contract):
        for code in [code for code in operation["responses"] if code < "300"]:
            content = operation["responses"][code]["content"].get("application/json")
            if content is None:
                assert name in {*BYTES, *BOOTS, *(f"get {path}" for path in PAGES.values())}
                continue
            assert content.get("example"), name
            if name in BOOTS:
                continue
            accepts(contract, content["schema"]["$ref"], content["example"])


def test_the_events_of_hosts_are_shown_as_they_are_told(contract):
    shown = contract["paths"]["/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]

    said = dict(re.findall(r"event: (\w+)\ndata: (.*)\n", shown["example"]))
    assert said.keys() == SCHEMAS.keys() == set(Word)
    for word, schema in SCHEMAS.items():
        accepts(contract, f"#/components/schemas/{schema}", json.loads(said[word]))


@pytest.mark.parametrize(
    ("doing", "words"),
    [
        (moved("registered", "provisioning"), {"state", "activity"}),
        (row("step-begun", {"step": "joined", "try": 1}), set(SCHEMAS)),
        (row("asked", {"verb": "provision", "reason": ""}), {"operation", "activity"}),
        (row("of-tomorrow", {"a": [None]}, operation_id=None, verb=None), {"activity"}),
    ],
)
def test_what_is_told_of_hosts_has_the_form_that_is_shown(contract, doing, words):
    found = {each.word: each.data for each in host_events.told(doing)}

    assert found.keys() == words
    for word, data in found.items():
        accepts(contract, f"#/components/schemas/{SCHEMAS[word]}", data)


def test_objects_whose_names_have_a_form_say_so(contract):
    labels = contract["components"]["schemas"]["NewSite"]["properties"]["labels"]
    (values,) = labels["patternProperties"].values()

    assert values["maxLength"] == 255
    assert labels["propertyNames"] == {"minLength": 1, "maxLength": 63}
    assert labels["additionalProperties"] is False


def leaves(model):
    """Yield the models that are made of *model*, and of which no other is made."""
    for each in model.__subclasses__():
        yield from leaves(each) if each.__subclasses__() else [each]


def test_bodies_are_closed(contract):
    for model in leaves(Body):
        assert contract["components"]["schemas"][model.__name__]["additionalProperties"] is False


def test_verbs_answer_202_with_a_workflow(contract):
    verbs = [
        operation
        for name, operation in operations(contract)
        if re.fullmatch(r"post /v1/machines/\{machine\}/[a-z-]+", name)
    ]

    assert len(verbs) == 15
    for verb in verbs:
        assert "Location" in verb["responses"]["202"]["headers"]


def test_it_is_served(bare):
    answer = Api(bare).get("/v1/openapi.json")

    assert answer.json["info"]["title"] == "Sprout"


def test_the_file_is_what_the_code_makes():
    assert openapi.FILE.read_text() == openapi.written(), "make openapi"
