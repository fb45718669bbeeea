"""Which source files a configuration reaches."""

import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from helpers.small_runs import composed
from mixlab.runs.provenance import changed_files, code_hashes, reached_hashes
from mixlab.runs.reach import file_imports, reached_files

ARMS = ("none", "mixup", "cutmix", "one_of", "mixup_many")
FILES = {
    "__init__.py": "from .skin import Skin\nfrom mylab import bone\n",
    "skin.py": "from .deep.cell import Cell\nclass Skin: ...\n",
    "bone.py": "import mylab.deep.marrow\nclass Bone: ...\n",
    "deep/__init__.py": "",
    "deep/cell.py": "def later():\n    from .. import helper\nclass Cell: ...\n",
    "deep/marrow.py": "",
    "helper.py": "",
    "other.py": "class Other: ...\n",
}


@pytest.fixture
def mylab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the user's."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    folder = tmp_path / "mylab"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def config(target: str) -> DictConfig:
    return OmegaConf.create({"allow": ["mylab"], "model": {"network": {"_target_": target}}})


def mine(target: str) -> set[str]:
    """The files of `mylab` that are reached."""
    found = (name for name in reached_files(config(target)) if name.startswith("mylab/"))
    return {name.removeprefix("mylab/") for name in found}


def arms_with(file: str) -> set[str]:
    return {arm for arm in ARMS if file in reached_files(composed(f"mixing={arm}"))}


def test_a_method_concerns_its_own_arms_alone() -> None:
    assert arms_with("mixlab/mixing/methods/mixup.py") == {"mixup", "one_of"}
    assert arms_with("mixlab/mixing/methods/mixup_many.py") == {"mixup_many"}
    assert arms_with("mixlab/mixing/methods/one_of.py") == {"one_of"}


@pytest.mark.parametrize("file", ["mixing/blend.py", "training/fit.py", "data/datamodule.py"])
def test_what_every_mixed_arm_is_made_by(file: str) -> None:
    assert arms_with(f"mixlab/{file}") >= {*ARMS} - {"none"}


def test_other_datasets_and_networks_do_not_count() -> None:
    found = reached_files(composed("data=shapes", "model=cnn"))
    assert "mixlab/models/networks/cnn.py" in found
    assert not [name for name in found if "resnet" in name or "downloads" in name]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("mylab.Skin", {"skin.py", "deep/cell.py", "helper.py"}),  # through the index
        ("mylab.skin.Skin", {"skin.py", "deep/cell.py", "helper.py"}),
        ("mylab.skin.Skin.create", {"skin.py", "deep/cell.py", "helper.py"}),
        ("mylab.bone.Bone", {"bone.py", "deep/marrow.py"}),  # import x.y
        ("mylab.other.Other", {"other.py"}),
    ],
)
def test_the_users_package(mylab: Path, target: str, expected: set[str]) -> None:
    found = {name for name in mine(target) if name != "deep/__init__.py"}
    assert found == expected


def test_an_init_with_code_of_its_own_counts(mylab: Path) -> None:
    (mylab / "__init__.py").write_text(f"{FILES['__init__.py']}print('hello')\n")
    assert {"__init__.py", "skin.py", "other.py"} <= mine("mylab.other.Other")


@pytest.mark.parametrize(
    "text",
    [
        "import importlib\nimportlib.import_module(name)\n",
        "from importlib import import_module as load\nimport_module(name)\n",
        "exec(text)\n",
        "this is no Python",
    ],
)
def test_what_cannot_be_followed_counts_the_whole_package(mylab: Path, text: str) -> None:
    (mylab / "other.py").write_text(text)
    assert mine("mylab.other.Other") >= {"skin.py", "bone.py", "helper.py", "deep/marrow.py"}


def test_a_module_named_in_full_can_be_followed(mylab: Path) -> None:
    (mylab / "other.py").write_text("import importlib\nimportlib.import_module('mylab.helper')\n")
    assert mine("mylab.other.Other") == {"other.py", "helper.py"}


def changed(before: dict[str, str], target: str) -> list[str]:
    return changed_files(before, code_hashes(["mylab"]), reached_files(config(target)))


def test_changed_deleted_and_swapped_files_show(mylab: Path) -> None:
    before = reached_hashes(config("mylab.Skin"))
    (mylab / "other.py").write_text("x = 1\n")
    assert changed(before, "mylab.Skin") == [], "it is not reached"
    (mylab / "helper.py").write_text("x = 1\n")
    assert changed(before, "mylab.Skin") == ["mylab/helper.py"]
    (mylab / "helper.py").unlink()
    assert changed(before, "mylab.Skin") == ["mylab/helper.py"]
    (mylab / "helper.py").write_text("")
    (mylab / "__init__.py").write_text("from mylab.other import Skin\n")
    assert changed(before, "mylab.Skin") == ["mylab/other.py"], "the name comes from there now"


def test_one_module_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "mylab.py").write_text("class Mine: ...\n")
    assert "mylab.py" in reached_files(config("mylab.Mine"))
    assert "mylab.py" not in reached_files(config("torch.nn.Linear"))


def test_the_text_alone_decides() -> None:
    assert file_imports(b"import a.b").names[0].module == "a.b"
    assert not file_imports(b"model.eval()").is_dynamic
    assert file_imports(b'"""Doc."""\nfrom a import b\n__all__ = ["b"]\n').is_index
    assert not file_imports(b"from a import b\nb()\n").is_index
