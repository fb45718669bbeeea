"""Which source files a run's configuration reaches, so that other files may change without harm.

Imports are read from the source text: nothing is imported, and torch is not loaded.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mixlab.config.allowlist import first_file, targets
from mixlab.runs.identity import identity

# The code that decides what a run is.
TRAINS = ("mixing", "data", "models", "callbacks", "training")
ENTRY = "mixlab.training.fit"  # every training starts here
DYNAMIC = {"import_module", "__import__", "exec", "spec_from_file_location", "iter_modules"}
ALL_NAMES = ""  # in place of a name: all of a module

Place = tuple[str, str]  # a module and a name in it


def reached_files(cfg: Any) -> list[str]:
    """The files that a run of this configuration reaches, as its record names them.

    Metrics and callbacks that only watch the training do not count.
    """
    return reached_by(targets(identity(cfg)), cfg.get("allow") or ())


def reached_by(called: Iterable[str], allow: Iterable[str]) -> list[str]:
    """The files that a training with these `_target_`s reaches, some of them in `allow`."""
    files = source_files(allow)
    names = {dotted(name): name for name in files}
    modules = {module: files[name] for module, name in names.items()}
    todo = [(ENTRY, ALL_NAMES), *(place_of(target, modules) for target in called)]
    seen: set[Place] = set()
    reached: set[str] = set()
    while todo:
        place = todo.pop()
        if place not in seen:
            seen.add(place)
            counts, further = follow(*place, modules)
            if counts:
                reached.add(names[place[0]])
            todo += further
    return sorted(reached)


def source_files(allow: Iterable[str]) -> dict[str, Path]:
    """Files of mixlab and of the user's packages that can matter, by name: `mylab/skin.py`."""
    files: dict[str, Path] = {}
    for package in ("mixlab", *allow):
        root = first_file(package)
        if root.name != "__init__.py":
            files[root.name] = root
            continue
        rooms = [root.parent / room for room in TRAINS] if package == "mixlab" else [root.parent]
        for file in sorted(file for room in rooms for file in room.rglob("*.py")):
            files[f"{package}/{file.relative_to(root.parent).as_posix()}"] = file
    return files


def dotted(name: str) -> str:
    """The module of a file: `mylab.skin`."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def place_of(target: str, modules: Mapping[str, Path]) -> Place:
    """The module and the name in it that a `_target_` means."""
    parts = target.split(".")
    for length in range(len(parts) - 1, 0, -1):
        if (module := ".".join(parts[:length])) in modules:
            return module, parts[length]
    return target, ALL_NAMES


def follow(module: str, name: str, modules: Mapping[str, Path]) -> tuple[bool, list[Place]]:
    """Whether the file of `module` counts when `name` is imported from it, and what comes next."""
    parent = module.rpartition(".")[0]
    above = [(parent, "*")] if parent else []  # a package's `__init__` runs before its modules
    submodule = [(f"{module}.{name}", ALL_NAMES)] if f"{module}.{name}" in modules else []
    if module not in modules:  # perhaps a folder without `__init__`
        return False, [*above, *submodule]
    file = modules[module]
    found = file_imports(file.read_bytes())
    places = [(absolute(each, module, file), each) for each in found.names]
    if found.is_index and file.name == "__init__.py" and name != ALL_NAMES:
        always = [(home, ALL_NAMES) for home, each in places if each.name == ALL_NAMES]
        own = [(home, each.name) for home, each in places if each.alias == name]
        return False, [*above, *always, *(own or submodule)]
    further = [*above, *((home, each.name) for home, each in places), *submodule]
    if found.is_dynamic:
        package = module.split(".")[0]
        further += [(other, ALL_NAMES) for other in modules if other.split(".")[0] == package]
    return True, further


@dataclass(frozen=True)
class ImportedName:
    """One `from module import name as alias`; for `import module` the name is ALL_NAMES."""

    level: int  # dots before the module
    module: str
    name: str = ALL_NAMES
    alias: str = ""


def absolute(imported: ImportedName, module: str, file: Path) -> str:
    """The full name of the module that a file imports from."""
    if not imported.level:
        return imported.module
    parts = module.split(".")
    dropped = imported.level - 1 if file.name == "__init__.py" else imported.level
    return ".".join([*parts[: len(parts) - dropped], *filter(None, [imported.module])])


@dataclass(frozen=True)
class FileImports:
    """What a file imports, according to its text.

    Attributes:
        is_index: it holds nothing but imports and `__all__`, as a package's `__init__` may.
        is_dynamic: it may find modules at run time.
    """

    names: tuple[ImportedName, ...]
    is_index: bool
    is_dynamic: bool


@lru_cache(maxsize=2048)  # one reading for all runs of a process
def file_imports(source: bytes) -> FileImports:
    """The imports anywhere in a file, also those inside functions."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return FileImports((), is_index=False, is_dynamic=True)
    names: list[ImportedName] = []
    dynamic: set[ast.AST] = set()
    constant: set[ast.AST] = set()  # `import_module` where it is called with a known module
    for node in ast.walk(tree):
        names += imported_names(node)
        if isinstance(node, ast.Call) and constant_import(node):
            constant.add(node.func)
        elif last_name(node) in DYNAMIC:
            dynamic.add(node)
    return FileImports(tuple(names), all(map(is_listing, tree.body)), bool(dynamic - constant))


def imported_names(node: ast.AST) -> Iterator[ImportedName]:
    """What a statement or a call imports."""
    if isinstance(node, ast.Import):
        for each in node.names:
            yield ImportedName(0, each.name)
    elif isinstance(node, ast.ImportFrom):
        for each in node.names:
            name = ALL_NAMES if each.name == "*" else each.name
            yield ImportedName(node.level, node.module or "", name, each.asname or each.name)
    elif isinstance(node, ast.Call) and (module := constant_import(node)):
        yield ImportedName(0, module)


def last_name(node: ast.AST) -> str | None:
    """`import_module` of `importlib.import_module`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def constant_import(call: ast.Call) -> str | None:
    """The module that `import_module("medmnist")` imports; None for any other call."""
    if last_name(call.func) == "import_module" and call.args:
        word = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
        return word if isinstance(word, str) and not word.startswith(".") else None
    return None


def is_listing(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, an import or `__all__`."""
    if isinstance(statement, ast.Assign):
        return [getattr(target, "id", None) for target in statement.targets] == ["__all__"]
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_text or isinstance(statement, ast.Import | ast.ImportFrom)
