"""A finished run's checkpoints, tested again, give the same figures."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from helpers.small_runs import composed, small, write_npz
from mixlab.evaluate import evaluate
from mixlab.runs import run_folder
from mixlab.training.supervise import train

TEST_ROWS = 359  # of scikit-learn's digits


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
    with pytest.raises(ValueError, match="_target_ os.system is not among"):
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


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder on digits."""
    cfg = small(tmp_path_factory.mktemp("run"), "trainer.limit_train_batches=8")
    train(cfg)
    return run_folder(cfg)


@pytest.mark.parametrize("tta", ["crops", "randaugment"])
@pytest.mark.parametrize("vote", ["mean", "majority"])
def test_one_view_is_plain_evaluation(run: Path, tta: str, vote: str) -> None:
    cfg = composed(f"run={run}", f"tta={tta}", "tta.views=1", f"tta.vote={vote}", config="evaluate")
    found = evaluate(OmegaConf.merge(cfg, {"threads": 1, "per_class": True}))
    for figures in found.values():
        assert figures["tta/class_accuracy"] == figures["test/class_accuracy"]
        assert figures["tta/accuracy"] == pytest.approx(figures["test/accuracy"], abs=1e-7)
        assert figures["tta/gained"] == figures["tta/lost"] == 0


def test_views_vote_and_the_classes_are_told_apart(run: Path, command: Callable) -> None:
    before = sorted(run.rglob("*"))
    words = [f"run={run}", "threads=1", "tta=crops", "tta.views=4", "per_class=true"]
    said = command("evaluate", *words, f"output={run.parent / 'found.json'}")
    assert said.status == 0, said.err
    assert sorted(run.rglob("*")) == before, "nothing is written into the run"
    found = json.loads((run.parent / "found.json").read_text())
    for when in ("best", "last"):
        figures = found[when]
        gained, lost = figures["tta/gained"], figures["tta/lost"]
        assert gained + lost > 0
        difference = figures["tta/accuracy"] - figures["test/accuracy"]
        assert difference * TEST_ROWS == pytest.approx(gained - lost, abs=1e-3)
        line = f"{when}, views voting: test/accuracy {figures['tta/accuracy']:.4f}"
        change = f"({difference:+.4f}: {gained} images gained, {lost} lost)"
        assert f"{line} {change}" in said.out
        recorded = json.loads((run / "run.json").read_text())["class_accuracy"]
        assert [*figures["test/class_accuracy"].values()] == recorded[when]
        assert [*figures["test/class_accuracy"]] == recorded["classes"]
    table = [line.split() for line in said.out.splitlines() if line.startswith("  ")]
    assert table[0] == ["class", "accuracy", "voting", "difference"] and len(table) == 22
    figures = [[float(cell) for cell in row[1:]] for row in table if row[0] != "class"]
    assert any(change for *_, change in figures)
    for alone, voted, change in figures:
        assert change == pytest.approx(voted - alone, abs=0.011)
    assert command("evaluate", *words).out == said.out, "the same again"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tta=flip"], "a flip can change the label of an image of digits"),
        (["tta=flip", "tta.views=4"], "tta.views must be 2 with tta=flip"),
        (["tta.views=4"], "tta.views=4 does nothing without views; choose tta=flip"),
        (["tta.vote=majority"], "tta.vote=majority does nothing without views"),
        (["tta=crop"], "did you mean crops?"),
        (["tta=crops", "tta.veiws=4"], "did you mean tta.views?"),
        (["tta=crops", "tta.views=many"], "tta.views must be a whole number from 1, got 'many'"),
        (["tta=crops", "tta.vote=loud"], "tta.vote must be one of mean, majority, got 'loud'"),
    ],
)
def test_slips_are_one_sentence(
    run: Path, command: Callable, words: list[str], sentence: str
) -> None:
    said = command("evaluate", f"run={run}", *words)
    assert said.status == 2 and sentence in said.sentence


def test_a_mirror_where_the_user_insists(run: Path, command: Callable) -> None:
    said = command("evaluate", f"run={run}", "threads=1", "tta=flip", "tta.force=true")
    assert said.status == 0 and said.out.count("views voting") == 2
