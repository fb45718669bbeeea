"""A finished run's checkpoints, tested again, give the same figures."""

import csv
import json
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from helpers.small_runs import composed, small, write_npz
from mixlab.evaluate import evaluate
from mixlab.runs import run_folder
from mixlab.runs.locks import taken
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
    *lines, kept = said.out.splitlines()
    assert kept.startswith("kept as test in logs/runs/") and kept.endswith("/evaluation.json")
    for line, when in zip(lines, ("best", "last"), strict=True):
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
    with pytest.raises(ValueError, match="no run.json or sweep.json under .*; give a run folder"):
        evaluated(tmp_path)
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(ValueError, match="has no checkpoints/best.ckpt nor last.ckpt; train it"):
        evaluated(tmp_path)


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder on digits."""
    words = ("trainer.limit_train_batches=8", "data.eval_batch_size=100")
    cfg = small(tmp_path_factory.mktemp("run"), *words)
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
    before = files_of(run)
    words = [f"run={run}", "threads=1", "tta=crops", "tta.views=4", "per_class=true", "save=false"]
    said = command("evaluate", *words, f"output={run.parent / 'found.json'}")
    assert said.status == 0, said.err
    assert files_of(run) == before, "nothing is written into the run"
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
        (["part=train"], "part must be one of test, val, got 'train'"),
        (["limit_test_batches=0"], "limit_test_batches must be a fraction in (0, 1] or a whole"),
        (["predictions=true", "save=false"], "leave out save=false"),
        (["metrics=nil"], "did you mean nll?"),
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


def kept_in(run: Path) -> dict[str, dict[str, Any]]:
    return json.loads((run / "evaluation.json").read_text())


def test_evaluations_live_side_by_side(run: Path, command: Callable) -> None:
    (run / "evaluation.json").unlink(missing_ok=True)
    assert command("evaluate", f"run={run}", "threads=1", "metrics=[nll,f1]").status == 0
    plain = kept_in(run)["test"]["results"]["last"]
    words = ("tta=crops", "tta.views=3", "metrics=nll", "limit_test_batches=1", "part=val")
    assert command("evaluate", f"run={run}", "threads=1", *words).status == 0
    found = kept_in(run)
    limited = "val limit_test_batches=1", "val tta=crops views=3 limit_test_batches=1"
    assert list(found) == ["test", *limited]
    assert found["test"]["results"]["last"] == plain and plain["test/nll"] > 0
    record = json.loads((run / "run.json").read_text())
    for name, entry in found.items():
        part, votes = entry["options"]["part"], "tta" in name
        total = record["data"][f"{part}_rows"]
        assert entry["data"][f"{part}_rows"] == total
        assert entry["rows"] == (total if part == "test" else math.ceil(total / 3))
        assert entry["data"]["sha256"] == record["data"]["sha256"]
        assert len({*entry["checkpoints"].values()}) == 2 and entry["versions"]["torch"]
        results = entry["results"]["last"]
        assert all(key.startswith(f"{part}/") for key in results)
        assert (f"{part}/gained" in results) == votes != (f"{part}/loss" in results)
        assert all(map(math.isfinite, (results[f"{part}/nll"], results[f"{part}/accuracy"])))
    assert command("evaluate", f"run={run}", "threads=1", "part=val").status == 0
    for when, results in kept_in(run)["val"]["results"].items():
        recorded = record["results"][when]
        assert results == {name: pytest.approx(recorded[name]) for name in results}

    assert command("evaluate", f"run={run}", "threads=1", "metrics=auroc").status == 0
    again = kept_in(run)
    assert again["test"]["results"]["last"].keys() == {*plain, "test/auroc"}, "of one checkpoint"
    assert all(again[name] == found[name] for name in limited), "only its own entry is written"


def test_a_line_for_each_row_and_the_confusion_matrix(run: Path, command: Callable) -> None:
    words = ("tta=crops", "tta.views=3", "predictions=true", "confusion=true", "threads=1")
    said = command("evaluate", f"run={run}", *words)
    assert said.status == 0 and said.out.splitlines()[-1].endswith(f"{run}/evaluation")
    for name, place in (("test", "test"), ("test tta=crops views=3", "test-tta-crops-views-3")):
        for when, results in kept_in(run)[name]["results"].items():
            folder = run / "evaluation" / place
            rows = list(
                csv.DictReader((folder / f"predictions-{when}.csv").read_text().splitlines())
            )
            assert [int(row["row"]) for row in rows] == list(range(TEST_ROWS))
            right = sum(row["true"] == row["predicted"] for row in rows)
            assert right / TEST_ROWS == pytest.approx(results["test/accuracy"])
            for row in rows:
                shares = {key[2:-1]: float(row[key]) for key in row if key.startswith("p(")}
                assert max(shares, key=shares.__getitem__) == row["predicted"]
                assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
            header, *table = csv.reader((folder / f"confusion-{when}.csv").read_text().splitlines())
            assert header[1:] == [line[0] for line in table] == list("0123456789")
            counts = Counter((row["true"], row["predicted"]) for row in rows)
            for true, *cells in table:
                assert [int(cell) for cell in cells] == [counts[true, p] for p in header[1:]]
            with Image.open(folder / f"confusion-{when}.png") as picture:
                assert min(picture.size) > 400


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two arms of two runs."""
    folder = tmp_path_factory.mktemp("arms")
    for method in ("none", "mixup"):
        for seed in (0, 1):
            words = ("trainer.limit_train_batches=2", "trainer.max_epochs=1")
            train(small(folder, f"mixing={method}", *words, seed=seed))
    return folder


def seed_folders(folder: Path) -> list[Path]:
    return sorted(folder.glob("logs/runs/train/*/seed-*"))


def test_many_runs_at_once_and_each_failure_by_its_reason(arms: Path, command: Callable) -> None:
    folders = seed_folders(arms)
    said = command("evaluate", f"run={arms}/logs/runs/train/*/seed-*", "threads=1", "tta=crops")
    assert said.status == 0, said.err
    header, *table = [line.split() for line in said.out.splitlines()[:-2]]
    assert header[:3] == ["arm", "seed", "at"] and len(table) == 6, "two runs and a mean, twice"
    assert said.out.splitlines()[-1].endswith("--by evaluation")
    for position, folder in enumerate(folders):
        (best, _) = kept_in(folder)["test"]["results"].values()
        assert f"{best['test/accuracy']:.4f}" in table[position + position // 2]
    both = [kept_in(folder)["test"]["results"]["best"]["test/accuracy"] for folder in folders[:2]]
    mean = f"{sum(both) / 2:.4f} ± {abs(both[0] - both[1]) / 2**0.5:.4f}"
    assert mean in " ".join(table[2])

    broken, diverged = folders[0], folders[3]
    (broken / "checkpoints" / "best.ckpt").write_bytes(b"")
    record = json.loads((diverged / "run.json").read_text())
    (diverged / "run.json").write_text(json.dumps({**record, "status": "diverged"}))
    (folders[1] / "evaluation.json").unlink()
    listed = f"run=[{arms}/logs/runs/train,{folders[1]}]"
    said = command("evaluate", listed, "threads=1", f"output={arms}/found.json")
    assert said.status == 1 and said.sentence.endswith("2 of 4 runs not evaluated, see above")
    reasons = [line for line in said.out.splitlines() if line.startswith("! ")]
    assert "best.ckpt is broken: it is empty" in reasons[0] and str(broken) in reasons[0]
    assert "diverged, only finished runs are evaluated" in reasons[1]
    assert kept_in(folders[1]), "the others are evaluated all the same"
    assert len(json.loads((arms / "found.json").read_text())) == 2


def test_a_run_that_is_being_trained(run: Path, command: Callable) -> None:
    lock = taken(run)
    both = [command("evaluate", f"run={run}", "threads=1", f"save={x}") for x in ("true", "false")]
    os.close(lock)
    for said in both:
        assert said.status == 2 and "is being trained by another process; wait" in said.sentence


def test_a_broken_file_is_said_before_anything_is_tested(
    run: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "evaluation.json").write_text("{")
    monkeypatch.setattr("mixlab.evaluation.checkpoints.evaluated", None)
    said = command("evaluate", f"run={run}", "threads=1")
    (run / "evaluation.json").unlink()
    assert said.status == 2 and "evaluation.json is not readable JSON" in said.sentence


def test_figures_go_to_a_folder_that_is_made(run: Path, here: Path, command: Callable) -> None:
    said = command("evaluate", f"run={run}", "threads=1", "output=new/found.json")
    assert said.status == 0 and json.loads((here / "new" / "found.json").read_text())["last"]
    (here / "file").touch()
    said = command("evaluate", f"run={run}", "threads=1", "output=file/found.json")
    assert said.status == 2 and "choose a folder that you may write to with output" in said.sentence


def test_a_folder_that_takes_no_files(
    run: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != run)
    said = command("evaluate", f"run={run}", "threads=1")
    assert said.status == 2 and "cannot be written to; save=false evaluates" in said.sentence
    assert command("evaluate", f"run={run}", "threads=1", "save=false").status == 0


def test_other_data_are_another_entry(tmp_path: Path, command: Callable) -> None:
    file = write_npz(tmp_path / "mine.npz")
    cfg = small(tmp_path, "data=npz", f"data.path={file}", "trainer.limit_train_batches=1")
    train(cfg)
    with np.load(file) as arrays:
        np.savez(tmp_path / "noisy.npz", **{**arrays, "test_images": 255 - arrays["test_images"]})
    for name in ("mine.npz", "noisy.npz"):
        said = command("evaluate", f"run={run_folder(cfg)}", f"data_path={tmp_path / name}")
        assert said.status == 0
    plain, other = kept_in(run_folder(cfg)).items()
    assert plain[0] == "test" and re.fullmatch("test data=[0-9a-f]{8}", other[0])
    assert other[1]["data"]["sha256"].startswith(other[0][-8:])
