"""A finished run's checkpoints, tested again, give the same figures."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mixlab.evaluate import evaluate
from mixlab.runs import run_folder
from mixlab.train import train
from small import composed, small, write_npz


def evaluated(folder: Path, **options: object) -> dict[str, dict[str, float]]:
    cfg = composed(f"run={folder}", config="evaluate").copy()
    return evaluate(OmegaConf.merge(cfg, {"threads": 1, **options}))


def test_the_same_figures(here: Path, command: Callable) -> None:
    cfg = small(here, "mixing=cutmix", "trainer.max_epochs=3")
    results = train(cfg)
    found = evaluated(run_folder(cfg))
    for when in ("best", "last"):
        assert found[when] == {k: v for k, v in results[when].items() if k.startswith("test/")}
    said = command("evaluate", f"run={run_folder(cfg)}")
    assert said.status == 0
    for line, when in zip(said.out.splitlines(), ("best", "last"), strict=True):
        assert line.startswith(f"{when}: ")
        assert f"test/accuracy {results[when]['test/accuracy']:.4f}" in line


def test_data_that_were_moved(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "mine.npz")
    cfg = small(tmp_path, "data=npz", f"data.path={file}")
    results = train(cfg)
    moved = shutil.move(file, tmp_path / "moved.npz")
    with pytest.raises(ValueError, match=r"there is no file .*mine\.npz"):
        evaluated(run_folder(cfg))
    found = evaluated(run_folder(cfg), data_path=str(moved))
    assert found["last"]["test/loss"] == results["last"]["test/loss"]


def test_without_validation_the_last_alone(tmp_path: Path) -> None:
    cfg = small(tmp_path, "data.val_size=0")
    train(cfg)
    assert list(evaluated(run_folder(cfg))) == ["last"]


def test_a_strangers_run_does_not_run_a_strangers_code(tmp_path: Path) -> None:
    cfg = small(tmp_path, "trainer.limit_train_batches=1")
    train(cfg)
    file = run_folder(cfg) / "config.yaml"
    evil = OmegaConf.load(file)
    evil.model.network._target_, evil.allow = "os.system", ["os"]
    OmegaConf.save(evil, file)
    with pytest.raises(ValueError, match="_target_ os.system is outside the packages"):
        evaluated(run_folder(cfg))


def test_nothing_to_test(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a run folder: it has no config.yaml"):
        evaluated(tmp_path)
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(ValueError, match="has no checkpoints/best.ckpt nor last.ckpt; train it"):
        evaluated(tmp_path)


def test_the_folder_of_an_arm_names_the_run_in_it(tmp_path: Path) -> None:
    cfg = small(tmp_path)
    train(cfg)
    with pytest.raises(ValueError, match=r"no config\.yaml; did you mean .*seed-0\?"):
        evaluated(run_folder(cfg).parent)
