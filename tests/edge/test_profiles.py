"""A profile's template is tried when it is saved: what is wrong is told with its line."""

import pytest

from tests.edge import make

pytestmark = pytest.mark.services

HEAD = "#cloud-config\nmotd: hello\n"

WRONG = {
    "half a tag": ("a: {{ hostname", "line 3"),
    "a block without its end": ("{% if hostname %}\na: b", "line 3"),
    "an end without a block": ("a: b\n{% endif %}", "line 4"),
    "an unknown variable": ("a: b\nc: {{ token }}", "line 4: there is no token"),
    "an unknown filter": ("a: {{ hostname | shout }}", "line 3: there is no filter shout"),
    "an unknown tag": ("{% frobnicate %}", "line 3"),
    "a loop": ("a: b\nc: d\n{% for i in hostname %}{% endfor %}", "line 5: For"),
    "no YAML": ("a: [", "line"),
}

ESCAPES = {
    "the classes of an object": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "the classes by subscript": "{{ ''['__class__']['__mro__'][1]['__subclasses__']() }}",
    "attr with hidden underscores": "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "attr to format (CVE-2025-27516)": "{{ ''|attr('format') }}",
    "format of attributes (CVE-2016-10745)": "{{ '{0.__class__.__init__.__globals__}'.format(1) }}",
    "format_map (CVE-2019-10906)": "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "a stored format (CVE-2024-56326)": "{% set f = ''.format %}{{ f('{0.__class__}', 1) }}",
    "a name as a file (CVE-2024-56201)": "{% extends '/etc/passwd' %}",
    "xmlattr (CVE-2024-22195)": "{{ {'a b': 1} | xmlattr }}",
    "globals of a helper": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "globals of lipsum": "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "globals of joiner": "{{ joiner.__init__.__globals__ }}",
    "globals of a namespace": "{{ namespace.__init__.__globals__ }}",
    "the template itself": "{{ self.__init__.__globals__ }}",
    "its own loader": "{{ self._TemplateReference__context }}",
    "the framework's request": "{{ request.application.__globals__ }}",
    "the framework's settings": "{{ config }}",
    "an import": "{% import 'os' as os %}",
    "an include": "{% include '/etc/passwd' %}",
    "map of attributes": "{{ [hostname] | map(attribute='__class__') | list }}",
    "a macro's caller": "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{{ m() }}",
    "a call of a loop": "{% for i in range(9) %}{{ loop.__init__ }}{% endfor %}",
    "a generator's frame": "{{ (x for x in ()).gi_frame }}",
    "memory by repetition": "{{ 'a' * 1000000000 }}",
    "memory by a range": "{{ range(1000000000) | list }}",
    "memory by padding": "{{ hostname | center(1000000000) }}",
    "time by powers": "{{ 9 ** 999999999 }}",
    "deep brackets": "{{ " + "(" * 9000 + ")" * 9000 + " }}",
    "an object of YAML": "a: !!python/object/apply:os.system ['id']",
    "time by nesting": "a: " + "[" * 60_000,
    "laughs by alias": "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "a slot of ours": "a: '@@sprout:run.token.seed@@'",
    "a slot in pieces": "a: '@@{{ 'sprout:' }}run.token.seed@@'",
}


def saved(api, rest):
    """Try to save *rest* behind a good head, in both ways; return both answers."""
    template = HEAD + rest + "\n"
    made = api.post("/v1/profiles", make.profile(ref="new", cloudConfigTemplate=template))
    changed = api.patch("/v1/profiles/plain", {"version": 1, "cloudConfigTemplate": template})
    return made, changed


@pytest.fixture
def profile(api):
    return api.made("/v1/profiles", make.profile())


@pytest.mark.parametrize(("rest", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_template_is_told_with_its_line(api, profile, rest, said):
    for answer in saved(api, rest):
        assert (answer.status_code, answer.json["type"]) == (422, "/problems/invalid")
        (fault,) = answer.json["errors"]
        assert fault["pointer"] == "/cloudConfigTemplate"
        assert said in fault["detail"]
        assert fault["hint"]


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
def test_what_broke_out_of_other_sandboxes_is_not_even_saved(api, profile, escape):
    for answer in saved(api, escape):
        assert answer.status_code == 422
        assert {fault["pointer"] for fault in answer.json["errors"]} == {"/cloudConfigTemplate"}

    assert api.get("/v1/profiles").json["items"] == [profile]


def test_a_template_that_chooses_by_what_a_machine_is_is_saved(api):
    template = HEAD + (
        "{% if gateway %}a: {{ gateway }}\n{% else %}a: none\n{% endif %}"
        "b: {{ fqdn | upper }}\nc: '{% raw %}{{ theirs }}{% endraw %}'\n"
    )

    made = api.made("/v1/profiles", make.profile(cloudConfigTemplate=template))

    assert made["cloudConfigTemplate"] == template
