"""Which room may import which, and that a name means one thing.

Ground imports ground; middle imports ground and middle, without a circle between rooms; roof
imports both; commands import all. Imports inside functions count.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import mixlab
from helpers.without import BESIDE_LIGHTNING
from mixlab.runs.records import DUPLICATE, UNREADABLE
from mixlab.runs.status import Status

PACKAGE = Path(mixlab.__file__).parent
FLOORS = {
    "ground": "errors checks signals runtime runs config pictures mixing",
    "middle": "training callbacks loggers models evaluation data reporting "
    "timm torchvision collate contract findings",
    "roof": "sweeps ledger previews",
    "commands": "commands cli train evaluate preview compare sweep rank check",
}
LEVEL = {
    room: level for level, rooms in enumerate(FLOORS.values()) for room in ["", *rooms.split()]
}
# Methods and augmentations of one paper, each command's `main`, what each format calls its own.
MAY_BE_DOUBLE = {"main", "render", "Cutout", "OneOf", "RandAugment", "Sequence", "__all__"}
MAY_BE_DOUBLE |= {"CutMix", "Mixup"}  # where other libraries' classes are replaced by name


def files() -> dict[str, ast.Module]:
    """Every source file by its dotted name below `mixlab`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = ast.parse(path.read_text())
    return found


def imported(tree: ast.Module, known: set[str]) -> Iterator[str]:
    """The files of mixlab that a file imports, at its top or anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mixlab":
            module = (node.module or "").partition(".")[2]
            for alias in node.names:
                inner = f"{module}.{alias.name}".strip(".")
                yield inner if inner in known else module
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "mixlab":
                    yield alias.name.partition(".")[2]


def edges() -> dict[str, set[str]]:
    trees = files()
    return {name: set(imported(tree, set(trees))) - {name} for name, tree in trees.items()}


def room(name: str) -> str:
    return name.split(".")[0]


def test_every_file_is_on_a_floor() -> None:
    assert {room(name) for name in files()} <= set(LEVEL), "name a new room in FLOORS"


def test_no_import_goes_upward() -> None:
    upward = [
        f"{name} imports {other}"
        for name, others in edges().items()
        for other in others
        if LEVEL[room(other)] > LEVEL[room(name)]
    ]
    assert not upward


def test_no_two_rooms_need_each_other() -> None:
    rooms = defaultdict(set)
    for name, others in edges().items():
        rooms[room(name)] |= {room(other) for other in others} - {room(name), ""}
    order = tuple(TopologicalSorter(rooms).static_order())  # raises CycleError at a circle
    assert len(order) >= len(rooms) - 1


def test_no_two_files_need_each_other() -> None:
    needed = edges()
    order = list(TopologicalSorter(needed).static_order())  # raises CycleError at a circle
    assert set(needed) <= set(order) and len(order) > 100


def test_callbacks_need_lightning_alone() -> None:
    """As the files say; a slow test asks a process in which the other libraries are missing."""
    trees, reached = files(), ["callbacks"]
    for name in reached:  # grows
        top = on_import(trees[name])
        found = {*imported(top, set(trees)), name.rpartition(".")[0]}
        reached += sorted(found - set(reached))
        others = {library for node in top.body for library in libraries(node)} & BESIDE_LIGHTNING
        assert not others, f"{name} imports {others}"
    assert len(reached) > 50


def on_import(tree: ast.Module) -> ast.Module:
    """The imports that importing a file runs: not those in functions."""
    inside = [node.body if isinstance(node, ast.With) else [node] for node in tree.body]
    return ast.Module(
        [each for body in inside for each in body if isinstance(each, ast.Import | ast.ImportFrom)],
        [],
    )


def libraries(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").partition(".")[0]]
    names = node.names if isinstance(node, ast.Import) else []
    return [each.name.partition(".")[0] for each in names]


def test_a_name_has_one_meaning() -> None:
    homes = defaultdict(list)
    for name, tree in files().items():
        for node in tree.body:
            for defined in names_of(node):
                homes[defined].append(name)
    double = {name: where for name, where in homes.items() if len(where) > 1}
    assert set(double) <= MAY_BE_DOUBLE, {k: double[k] for k in set(double) - MAY_BE_DOUBLE}


def test_a_state_is_no_bare_string() -> None:
    words = {*Status, UNREADABLE, DUPLICATE}
    may = ("runs.status", "runs.records", "config.schema")  # `config` is below `runs`
    bare = [
        f"{name}: {node.value}"
        for name, tree in files().items()
        if name not in may
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in words
    ]
    assert not bare, "use runs.status.Status"


def names_of(node: ast.stmt) -> list[str]:
    """What a statement at the top of a file defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
