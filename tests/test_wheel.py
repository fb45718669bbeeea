"""Installed from the wheel, beside hydra-core alone, in a folder far from the checkout."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT]
    subprocess.run(words, check=True, capture_output=True)
    (file,) = folder.glob("mixlab-*.whl")
    return file


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the console commands of a fresh environment lie."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "hydra-core>=1.3.8,<1.4"], check=True)
    subprocess.run([*pip, "--no-deps", wheel], check=True)
    return folder / "bin"


def run(programs: Path, folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess:
    words = [programs / name, *arguments]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_what_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    shipped = {f"mixlab/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*.yaml")}
    assert len(shipped) > 40 and shipped <= names
    assert "hydra_plugins/mixlab/plugins.py" in names
    assert "hydra_plugins/__init__.py" not in names, "it would hide other people's plugins"
    assert not [name for name in names if name.startswith(("tests", "src", "configs"))]


@pytest.mark.parametrize("name", ["mixlab-train", "mixlab-evaluate", "mixlab-preview"])
def test_help_needs_no_torch(programs: Path, tmp_path: Path, name: str) -> None:
    done = run(programs, tmp_path, name, "--help")
    assert done.returncode == 0 and name in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_composes_from_any_folder(programs: Path, tmp_path: Path) -> None:
    words = ["data=cifar10", "model=resnet20", "mixing=cutmix", "mixing.probability=0.5"]
    done = run(programs, tmp_path, "mixlab-train", *words, "--cfg", "job", "--resolve")
    assert done.returncode == 0, done.stderr
    assert "probability: 0.5" in done.stdout and "path: ./data/cifar10.npz" in done.stdout
    sweeper = run(programs, tmp_path, "mixlab-train", "--cfg", "hydra", "-p", "hydra.sweeper")
    assert "MixlabSweeper" in sweeper.stdout, sweeper.stderr


def test_a_users_own_configs_are_added(programs: Path, tmp_path: Path) -> None:
    mine = tmp_path / "conf" / "mixing" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("defaults: [cutmix]\nmethod:\n  alpha: 0.125\n")
    done = run(
        programs, tmp_path, "mixlab-train", "--config-dir", "conf", "mixing=mine", "--cfg", "job"
    )
    assert "alpha: 0.125" in done.stdout and "CutMix" in done.stdout, done.stderr


def test_a_misspelled_key_is_a_sentence_there_too(programs: Path, tmp_path: Path) -> None:
    done = run(programs, tmp_path, "mixlab-train", "mixing.probabilty=1")
    assert done.returncode == 2 and "did you mean mixing.probability?" in done.stderr
