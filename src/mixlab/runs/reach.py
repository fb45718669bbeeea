"""Which source files a run's configuration reaches, so that other files may change without harm.

The imports are read from the text: nothing is imported and no torch is loaded.
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
ENTRY = "mixlab.training.fit"  # every training comes through here
DYNAMIC = {"import_module", "__import__", "exec", "spec_from_file_location", "iter_modules"}
ALL_NAMES = ""  # in place of a name: all of a module


@dataclass(frozen=True)
class ImportedName:
    """One `from module import name as alias`; of `import module` the name is ALL_NAMES."""

    level: int  # dots before the module
    module: str
    name: str
    alias: str


@dataclass(frozen=True)
class FileImports:
    """What the text of a file says of its imports.

    Attributes:
        is_index: it holds nothing but imports and `__all__`, as a package's `__init__` may.
        is_dynamic: it may find modules at run time.
    """

    names: tuple[ImportedName, ...]
    is_index: bool
    is_dynamic: bool


@lru_cache(maxsize=2048)  # one reading for all runs of a process
def file_imports(source: bytes) -> FileImports:
    """The imports anywhere in a file, those inside functions too."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return FileImports((), False, True)
    names: list[ImportedName] = []
    known: set[ast.expr] = set()  # calls of `import_module` that say what they import
    dynamic: set[ast.expr] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [
                ImportedName(0, each.name, ALL_NAMES, each.asname or "") for each in node.names
            ]
        elif isinstance(node, ast.ImportFrom):
            for each in node.names:
                name = ALL_NAMES if each.name == "*" else each.name
                alias = each.asname or each.name
                names.append(ImportedName(node.level, node.module or "", name, alias))
        elif isinstance(node, ast.Call) and (module := constant_import(node)):
            names.append(ImportedName(0, module, ALL_NAMES, ""))
            known.add(node.func)
        elif isinstance(node, ast.Name | ast.Attribute) and name_in(node) in DYNAMIC:
            dynamic.add(node)
    return FileImports(tuple(names), all(map(is_listing, tree.body)), bool(dynamic - known))


def name_in(node: ast.expr) -> str | None:
    """`import_module` of `importlib.import_module`."""
    return getattr(node, "attr", None) or getattr(node, "id", None)


def constant_import(call: ast.Call) -> str | None:
    """The module that `import_module("medmnist")` imports; None of any other call."""
    word = call.args[0] if call.args and name_in(call.func) == "import_module" else None
    text = word.value if isinstance(word, ast.Constant) else None
    return text if isinstance(text, str) and not text.startswith(".") else None


def is_listing(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, an import or `__all__`."""
    if isinstance(statement, ast.Assign):
        return [getattr(target, "id", None) for target in statement.targets] == ["__all__"]
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_text or isinstance(statement, ast.Import | ast.ImportFrom)


@dataclass(frozen=True)
class Packages:
    """Mixlab and the user's own packages: the only ones that are followed."""

    roots: Mapping[str, Path]  # the first file of each

    @classmethod
    def of(cls, allow: Iterable[str]) -> "Packages":
        return cls({package: first_file(package) for package in ("mixlab", *allow)})

    def file(self, module: str) -> Path | None:
        """The file of a module, None where there is none that counts."""
        package, *parts = module.split(".")
        root = self.roots.get(package)
        if root is None or (package == "mixlab" and (not parts or parts[0] not in TRAINS)):
            return None
        if not parts:
            return root
        path = root.parent.joinpath(*parts)
        choices = (path / "__init__.py", path.with_suffix(".py"))
        found = next((each for each in choices if each.is_file()), None)
        return found if root.name == "__init__.py" else None

    def name(self, file: Path) -> str:
        """`mylab/skin.py`, as a record names the file."""
        for package, root in self.roots.items():
            if root.name == "__init__.py" and file.is_relative_to(root.parent):
                return f"{package}/{file.relative_to(root.parent).as_posix()}"
        return file.name

    def modules(self, package: str) -> Iterator[str]:
        """Every module of a package."""
        root = self.roots[package]
        files = root.parent.rglob("*.py") if root.name == "__init__.py" else [root]
        for file in files:
            parts = file.relative_to(root.parent).with_suffix("").parts
            inner = parts if root.name == "__init__.py" else ()
            yield ".".join((package, *(part for part in inner if part != "__init__")))


def reached_files(cfg: Any) -> list[str]:
    """The files that a run of this configuration reaches, as its record names them.

    From what makes the run what it is: metrics and callbacks that only watch do not count.
    """
    plain = identity(cfg)
    packages = Packages.of(cfg.get("allow") or ())
    todo = [(ENTRY, ALL_NAMES), *(place_of(target, packages) for target in targets(plain))]
    seen, files = set(), set()
    while todo:
        place = todo.pop()
        if place not in seen:
            seen.add(place)
            file, further = follow(*place, packages)
            files |= {file} if file else set()
            todo += further
    return sorted(packages.name(file) for file in files)


def place_of(target: str, packages: Packages) -> tuple[str, str]:
    """The module and the name in it that a `_target_` means."""
    parts = target.split(".")
    for length in range(len(parts) - 1, 0, -1):
        if packages.file(".".join(parts[:length])):
            return ".".join(parts[:length]), parts[length]
    return target, ALL_NAMES


def follow(module: str, name: str, packages: Packages) -> tuple[Path | None, list[tuple[str, str]]]:
    """The file that an import of `name` from `module` counts, and the imports it leads to."""
    file = packages.file(module)
    parent = module.rpartition(".")[0]
    above = [(parent, "*")] if parent else []  # a package's `__init__` runs before its modules
    if file is None:  # a folder without `__init__`, perhaps
        inside = f"{module}.{name}"
        return None, [*above, (inside, ALL_NAMES)] if packages.file(inside) else above
    found = file_imports(file.read_bytes())
    places = [(absolute(each, module, file), each) for each in found.names]
    if found.is_index and file.name == "__init__.py" and name != ALL_NAMES:
        always = [(home, ALL_NAMES) for home, each in places if each.name == ALL_NAMES]
        own = [(home, each.name) for home, each in places if each.alias == name]
        if not own and name != "*":
            inside = f"{module}.{name}"
            own = [(inside, ALL_NAMES)] if packages.file(inside) else []
        return None, [*above, *always, *own]
    further = [(home, each.name) for home, each in places]
    if found.is_dynamic:
        further += [(other, ALL_NAMES) for other in packages.modules(module.split(".")[0])]
    if file.name == "__init__.py" and name not in (ALL_NAMES, "*"):  # a module of that name, if any
        further += [(f"{module}.{name}", ALL_NAMES)]
    return file, [*above, *further]


def absolute(imported: ImportedName, module: str, file: Path) -> str:
    """The full name of the module that a file imports from."""
    if not imported.level:
        return imported.module
    parts = module.split(".")
    keep = len(parts) - imported.level + (file.name == "__init__.py")
    return ".".join([*parts[:keep], *filter(None, [imported.module])])
