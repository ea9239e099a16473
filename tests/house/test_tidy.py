"""What house style says and a machine can see, each rule with a sentence of advice."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "bastide"
DOORS, SOCIETY, CRAFT = ["cli", "api"], ["compliance", "plugins"], ["skills", "connectors", "knowledge"]
MEANS, LAW, GROUND = ["inference", "compute", "workflows"], ["egress", "policy", "tenancy", "audit"], ["store"]
ROOMS = [*DOORS, *SOCIETY, *CRAFT, *MEANS, *LAW, *GROUND]
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "core", "base", "manager", "service", "handler"}
BODY_LINES_MAX, FILE_LINES_MAX = 60, 400
# Named exceptions, with the reason; this list only shrinks.
LONG_FILES: dict[str, str] = {"errors.py": "the one tree of errors: a catalogue, one class beside the other"}


@cache
def _trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(SOURCE.rglob("*.py"))]


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def too_long_function(path: Path, tree: ast.Module) -> Iterator[str]:
    """Split it by idea: branches stay in the parent, straight work moves out."""
    for node in _functions(tree):
        body = node.body[1:] if ast.get_docstring(node) else node.body
        if body and (lines := (body[-1].end_lineno or 0) - body[0].lineno + 1) > BODY_LINES_MAX:
            yield f"{node.name} has {lines} lines"


def too_long_file(path: Path, tree: ast.Module) -> Iterator[str]:
    """A file holds one idea."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > FILE_LINES_MAX and str(path.relative_to(SOURCE)) not in LONG_FILES:
        yield f"{lines} lines"


def name_that_says_nothing(path: Path, tree: ast.Module) -> Iterator[str]:
    """Name the file after the one thing it knows."""
    if path.stem in SAYS_NOTHING or path.parent.name in SAYS_NOTHING:
        yield "the name says nothing"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Manager", "Service", "Helper", "Impl", "Info")):
            yield f"class {node.name}"


def without_docstring(path: Path, tree: ast.Module) -> Iterator[str]:
    """Every module says what it is for; every public class and function what it promises."""
    if not ast.get_docstring(tree):
        yield "the module has no docstring"
    for node in tree.body:
        public = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith(
            "_"
        )
        if public and not ast.get_docstring(node):
            yield f"{node.name} has no docstring"


def late_import(path: Path, tree: ast.Module) -> Iterator[str]:
    """If an import makes a loop, the floor is wrong, not the import."""
    for function in _functions(tree):
        for node in ast.walk(function):
            ours = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bastide")
            ours = ours or (isinstance(node, ast.Import) and any(a.name.startswith("bastide") for a in node.names))
            if ours:
                yield f"{function.name} imports our own code late"


def face_that_works(path: Path, tree: ast.Module) -> Iterator[str]:
    """A face holds a docstring, re-exports and `__all__`, nothing else."""
    if path.name != "__init__.py" or path.parent == SOURCE:
        return
    for node in tree.body:
        promise = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        names = isinstance(node, ast.Assign | ast.AnnAssign) and "__all__" in ast.unparse(node)
        if not (promise or names or isinstance(node, ast.Import | ast.ImportFrom)):
            yield f"line {node.lineno} does work"


def scope_made_elsewhere(path: Path, tree: ast.Module) -> Iterator[str]:
    """Only tenancy makes a Scope: that is what makes it a proof."""
    if path.parts[len(SOURCE.parts)] == "tenancy":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Scope":
            yield f"line {node.lineno} makes a Scope"


def environment_read_elsewhere(path: Path, tree: ast.Module) -> Iterator[str]:
    """The environment is read once, in settings."""
    if path == SOURCE / "settings.py":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}:
            yield f"line {node.lineno} reads the environment"


RULES: list[Callable[[Path, ast.Module], Iterator[str]]] = [
    too_long_function,
    too_long_file,
    name_that_says_nothing,
    without_docstring,
    late_import,
    face_that_works,
    scope_made_elsewhere,
    environment_read_elsewhere,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_tidy(rule: Callable[[Path, ast.Module], Iterator[str]]) -> None:
    faults = [f"{path.relative_to(SOURCE)}: {fault}" for path, tree in _trees() for fault in rule(path, tree)]
    assert not faults, f"{rule.__doc__}\n" + "\n".join(faults)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_a_face_with_a_promise(room: str) -> None:
    tree = ast.parse((SOURCE / room / "__init__.py").read_text(encoding="utf-8"))
    promise = ast.get_docstring(tree) or ""
    assert promise.split(":")[0].lower() == room, "the promise begins with the room's name and a colon"
    exported = [n.value for n in tree.body if isinstance(n, ast.Assign | ast.AnnAssign) and n.value]
    assert len(exported) == 1, "__all__ says what the room gives"
    assert len(ast.literal_eval(exported[0])) <= 24


def test_the_rules_find_a_breach() -> None:
    bad = ast.parse("def f():\n    from bastide.store import x\n" + "    y = 1\n" * 61 + "Scope(1)\nos.environ['X']\n")
    path = SOURCE / "knowledge" / "helpers.py"
    assert [*too_long_function(path, bad)]
    assert [*name_that_says_nothing(path, bad)]
    assert [*without_docstring(path, bad)]
    assert [*late_import(path, bad)]
    assert [*scope_made_elsewhere(path, bad)]
    assert [*environment_read_elsewhere(path, bad)]
