"""What a run was made by."""

import sys
from pathlib import Path

import pytest

import mixlab
from mixlab.runs.provenance import (
    TRAINS,
    changed_files,
    code_hashes,
    command_line,
    cpu_name,
    git_commit,
    hardware,
    versions,
)
from mixlab.runtime import available_cores


def test_code_that_can_matter() -> None:
    found = code_hashes()
    assert {"mixlab/training/fit.py", "mixlab/mixing/blend.py"} <= set(found)
    assert not [name for name in found if name.startswith(("mixlab/reporting", "mixlab/compare"))]
    folder = Path(mixlab.__file__).parent
    rooms = {name.split("/")[1] for name in found}
    assert rooms == set(TRAINS) and all((folder / room).is_dir() for room in rooms)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's with a package and a module."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "__init__.py").write_text("")
    (tmp_path / "mylab" / "skin.py").write_text("x = 1\n")
    (tmp_path / "mymodule.py").write_text("y = 1\n")
    return tmp_path


def test_the_users_own_packages_count_too(mine: Path) -> None:
    before = code_hashes(["mylab", "mymodule"])
    assert {"mylab/__init__.py", "mylab/skin.py", "mymodule.py"} <= set(before)
    (mine / "mylab" / "skin.py").write_text("x = 2\n")
    (mine / "mylab" / "new.py").write_text("")
    now = code_hashes(["mylab", "mymodule"])
    assert changed_files(before, now) == ["mylab/skin.py"], "a new file was not run"


def test_a_package_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"allow=\[nosuch\]: there is no package of that name"):
        code_hashes(["nosuch"])


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        (["python", "/venv/bin/mixlab-train", "-m", "seeds=2"], ["mixlab-train", "-m", "seeds=2"]),
        (["python", "-I", "-m", "mixlab.train", "tags=[a b]"], ["mixlab-train", "tags=[a b]"]),
        (["python", "-m", "pytest"], None),
        (["python", "mine.py", "mixlab-training"], None),
    ],
)
def test_the_command_as_it_was_typed(
    typed: list[str], recorded: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", typed)
    assert command_line() == recorded


def test_changed_files_are_those_that_differ_or_went() -> None:
    assert changed_files({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == ["a", "b"]
    assert changed_files({}, {"a": "1"}) == ["a"], "nothing is known of it"
    assert changed_files({"a": "1"}, {"a": "1"}) == []


def test_versions_and_hardware() -> None:
    assert {"python", "torch", "pytorch-lightning", "numpy"} <= set(versions())
    assert set(hardware()) == {"cpu", "cores", "gpu"} and hardware()["cores"] == available_cores()
    assert cpu_name()


def test_no_git_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_commit() is None or git_commit()
    monkeypatch.setenv("PATH", "")
    assert git_commit() is None
