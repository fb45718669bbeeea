"""mixlab-sweep: what became of the runs, and what to do about those that did not finish."""

import csv
import json
import os
import shlex
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from helpers.small_runs import small
from helpers.written_runs import config, mixing, write_run
from mixlab.runs import Run, run_folder
from mixlab.runs.atomic import read_json, write_json
from mixlab.training.supervise import train

ENDS = ("finished", "failed", "diverged", "interrupted", "planned")
FAKE = """#!{python}
import json, sys
from pathlib import Path
with open({calls!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
sys.exit("refused" if "bad" in sys.argv[3] else 0)
"""


@pytest.fixture
def runs(here: Path) -> dict[str, Path]:
    """A run folder for each way to end, by its name, under `logs`."""
    folders = {}
    for seed, status in enumerate(ENDS):
        folder = here / "logs" / "runs" / "train" / "digits-cnn-none-0123abcd" / f"seed-{seed}"
        folder.mkdir(parents=True)
        record = {"status": status, "arm": "digits-cnn-none", "hash": "0123abcd", "seed": seed}
        error = {"error": "ZeroDivisionError: a defect\nof two lines"} if seed in (1, 2) else {}
        write_json(folder / "run.json", {**record, **error, "seconds": 12.34, "epochs": 3})
        folders[status] = folder
    (folders["interrupted"] / "metrics.csv").write_text("epoch,train/loss\n0,1.5\n1,1.4\n2,\n")
    (folders["finished"] / "checkpoints").mkdir()
    (folders["finished"] / "checkpoints" / "last.ckpt").write_bytes(b"x" * 3000)
    return folders


def test_status_is_a_table_with_counts(runs: dict[str, Path], command: Callable) -> None:
    said = command("sweep", "status", "logs")
    lines = said.out.splitlines()
    assert said.status == 0 and len(lines) == 7
    assert [line.split()[2] for line in lines[1:6]] == list(ENDS)
    assert "ZeroDivisionError: a defect of two lines" in lines[2] and "12.3" in lines[1]
    assert lines[1].split()[3] == "3" and lines[4].split()[3] == "2", "epochs that were finished"
    assert lines[6] == "5 runs: 1 finished, 1 planned, 1 interrupted, 1 failed, 1 diverged"


def test_status_names_arms_by_their_knobs_and_folders_that_can_be_pasted(
    here: Path, command: Callable
) -> None:
    logs = here / "my logs"
    knobs = [mixing("CutMix", alpha=1.0, probability=0.5), mixing("Mixup", alpha=0.2)]
    folders = [write_run(logs, config(node), 0) for node in knobs]
    planned = logs / "runs" / "synthetic" / "digits-cnn-none-0123abcd" / "seed-0"
    planned.mkdir(parents=True)
    write_json(planned / "run.json", {"status": "planned", "label": "none lr=0.1", "seed": 0})
    lines = command("sweep", "status", "my logs").out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:4]] == [
        "cutmix alpha=1 p=0.5", "mixup alpha=0.2 p=1", "none lr=0.1",
    ]  # fmt: skip
    for line, folder in zip(lines[1:4], [*folders, planned], strict=True):
        assert str(folder.relative_to(here)) in shlex.split(line), "one word for a shell"


def test_only_a_run_that_may_go_on_has_a_heartbeat(
    runs: dict[str, Path], command: Callable
) -> None:
    for folder in runs.values():
        (folder / ".lock").touch()
    lines = command("sweep", "status", "logs").out.splitlines()[1:6]
    assert ["s ago" in line for line in lines] == [status == "interrupted" for status in ENDS]


def test_a_lost_index_is_made_again_from_the_folders(
    runs: dict[str, Path], here: Path, command: Callable
) -> None:
    said = command("sweep", "status", "logs/runs", "--index", "logs/sweeps/again")
    assert said.out.splitlines()[-1] == "listed in logs/sweeps/again/sweep.json"
    listed = json.loads((here / "logs" / "sweeps" / "again" / "sweep.json").read_text())["runs"]
    found = {(here / "logs" / "sweeps" / "again" / run).resolve() for run in listed}
    assert found == set(runs.values())


def test_what_rerun_set_aside_is_no_run_of_the_sweep(
    runs: dict[str, Path], command: Callable
) -> None:
    os.rename(runs["failed"], runs["failed"].with_name("seed-0.1"))
    assert "4 runs: 1 finished, 1 planned, 1 interrupted, 1 diverged" in (
        command("sweep", "status", "logs").out
    )


def test_retry_plans_again_and_keeps_the_error(runs: dict[str, Path], command: Callable) -> None:
    said = command("sweep", "retry", "logs")
    assert said.out.count("planned, was") == 2 and "2 runs marked" in said.out
    record = read_json(runs["failed"] / "run.json")
    assert (record["status"], record["error"]) == ("planned", None)
    assert [end["error"][:12] for end in record["history"]] == ["ZeroDivision"]
    assert read_json(runs["interrupted"] / "run.json")["status"] == "interrupted"
    assert "no run is failed or diverged" in command("sweep", "retry", "logs").out


def test_clean_shows_first(runs: dict[str, Path], command: Callable) -> None:
    before = sorted(runs["failed"].parents[3].rglob("*"))
    said = command("sweep", "clean", "logs", "--checkpoints")
    assert sorted(runs["failed"].parents[3].rglob("*")) == before
    lines = said.out.splitlines()
    assert len(lines) == 4 and "checkpoint of a finished run, 3.0 kB" in said.out
    assert "failed, holds nothing" in said.out and "planned, holds nothing" in said.out
    assert lines[-1].endswith("in 3 places; add --yes to remove them")


def test_clean_removes_when_told(runs: dict[str, Path], command: Callable) -> None:
    outside = runs["failed"].parents[3] / "outside"
    outside.touch()
    (runs["failed"] / "figures").mkdir()
    (runs["failed"] / "figures" / "link").symlink_to(outside)
    bare = runs["finished"].with_name("seed-9")
    bare.mkdir()
    write_json(bare / "run.json", {"status": "finished"})
    said = command("sweep", "clean", "logs", "--yes")
    assert said.out.splitlines()[-1] == "2 of 2 removed" and outside.exists() and bare.exists()
    left = {status for status, folder in runs.items() if folder.exists()}
    assert left == {"finished", "diverged", "interrupted"}
    assert (runs["finished"] / "checkpoints" / "last.ckpt").exists()
    assert command("sweep", "clean", "logs", "--yes").out == "nothing to remove\n"


def test_clean_leaves_what_is_being_trained(here: Path, command: Callable) -> None:
    with Run.open(small(here)) as run:
        write_json(run.folder / "run.json", {"status": "planned"})
        said = command("sweep", "clean", "logs", "--yes")
        assert "0 of 1 removed, the others are in use" in said.out and run.folder.exists()


@pytest.fixture
def fake_wandb(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """A `wandb` that notes how it is called, and a key; returns the calls."""
    import sys

    calls, program = here / "calls", here / "bin" / "wandb"
    program.parent.mkdir()
    program.write_text(FAKE.format(python=sys.executable, calls=str(calls)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    return lambda: (
        [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []
    )


def offline(folder: Path, name: str) -> Path:
    part = folder / "wandb" / f"offline-run-{name}"
    part.mkdir(parents=True)
    (part / f"run-{name.split('-', 1)[1]}.wandb").write_bytes(b"x")
    return part


def test_sync_sends_each_run_once_as_one_and_the_summaries_of_sweeps(
    runs: dict[str, Path], here: Path, fake_wandb: Callable, command: Callable
) -> None:
    first = offline(runs["finished"], "20260101_000000-abc")
    second = offline(runs["finished"], "20260102_000000-def")
    assert command("sweep", "sync", "logs").status == 0
    assert fake_wandb() == [["sync", "--id", "abc", str(first), str(second)]]
    assert "nothing to send" in command("sweep", "sync", "logs").out
    third = offline(runs["finished"], "20260103_000000-ghi")
    sweep = here / "logs" / "sweeps" / "train"
    summary = offline(sweep, "20260103_000000-jkl")
    write_json(sweep / "sweep.json", {"runs": [os.path.relpath(runs["finished"], sweep)]})
    command("sweep", "sync", "logs")
    assert fake_wandb()[1:] == [
        ["sync", "--id", "abc", str(third)], ["sync", "--id", "jkl", str(summary)],
    ]  # fmt: skip


def test_clean_takes_nothing_that_is_not_a_runs(
    runs: dict[str, Path], here: Path, command: Callable
) -> None:
    thesis = here / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("two years of work")
    (runs["failed"] / "notes.txt").write_text("why it failed")
    (runs["interrupted"] / "metrics.csv").unlink()
    (runs["interrupted"] / "figures").symlink_to(thesis)
    linked = runs["finished"].with_name("seed-9")
    linked.mkdir()
    write_json(linked / "run.json", {"status": "finished"})
    (thesis / "kept.ckpt").write_bytes(b"x")
    (linked / "checkpoints").symlink_to(thesis)
    sweep = here / "logs" / "sweeps" / "stranger"
    sweep.mkdir(parents=True)
    listed = [str(thesis), *map(str, runs.values()), str(linked)]
    write_json(sweep / "sweep.json", {"runs": listed})
    said = command("sweep", "clean", "--checkpoints", "--yes", str(sweep))
    assert (thesis / "chapter.tex").exists() and (thesis / "kept.ckpt").exists(), said.out
    assert not (thesis / ".lock").exists()
    assert runs["failed"].is_dir() and runs["interrupted"].is_dir()
    assert not runs["planned"].exists(), "what is a run's and holds nothing went"


def test_what_was_not_sent_is_said_and_waits(
    runs: dict[str, Path], fake_wandb: Callable, command: Callable
) -> None:
    offline(runs["failed"], "20260101_000000-bad")
    offline(runs["finished"], "20260101_000000-good")
    for _ in range(2):
        said = command("sweep", "sync", "logs")
        assert said.status == 1
        assert said.sentence.startswith("not sent: ") and said.sentence.endswith("seed-1: refused")
    assert [call[2] for call in fake_wandb()] == ["good", "bad", "bad"]


REFUSING = """#!{python}
import json, sys
from pathlib import Path
calls = Path({calls!r})
with calls.open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if len(calls.read_text().splitlines()) <= {times}:  # as W&B 0.31 ends, with status 0
    print("wandb: ERROR Error initializing run: giving up after 21 attempt(s)")
    print("wandb: ERROR while retrying: HTTP 429: rate limit exceeded")
"""


@pytest.mark.parametrize("times", [2, 9])
def test_sync_waits_where_wandb_asks_for_patience_and_believes_no_exit_status(
    runs: dict[str, Path], here: Path, fake_wandb: Callable, command: Callable, times: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import sys

    from mixlab.ledger import sync

    program = here / "bin" / "wandb"
    program.write_text(
        REFUSING.format(python=sys.executable, calls=str(here / "calls"), times=times)
    )
    waited: list[float] = []
    monkeypatch.setattr(sync.time, "sleep", waited.append)
    part = offline(runs["finished"], "20260101_000000-abc")
    said = command("sweep", "sync", "logs")
    assert len(fake_wandb()) == min(times + 1, 1 + len(sync.PAUSES))
    assert waited == list(sync.PAUSES[:times]) and "asks for fewer requests" in said.out
    assert bool(list(part.glob("*.synced"))) is (times == 2), "marked only if it was sent"
    assert said.status == int(times > 2)
    if times > 2:
        assert said.sentence.endswith("HTTP 429: rate limit exceeded")


def test_sync_without_a_key_says_so(
    runs: dict[str, Path], command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(runs["failed"] / "none"))
    offline(runs["failed"], "20260101_000000-abc")
    said = command("sweep", "sync", "logs")
    assert said.status == 2 and "set WANDB_API_KEY or run `wandb login`" in said.sentence


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    """A run of 12 steps whose best checkpoint lies after eight of them."""
    words = ("trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2", "mixing=cutmix")
    cfg = small(
        tmp_path_factory.mktemp("audit"), *words, "trainer.log_every_n_steps=2",
        "augmentation=standard", "scheduler=cosine", "optimizer=adamw",
    )  # fmt: skip
    train(cfg)
    return cfg


def everything(folder: Path) -> dict[Path, tuple[int, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def audit(cfg: DictConfig, command: Callable, *words: str) -> tuple[int, str]:
    said = command("sweep", "audit", str(run_folder(cfg)), "--seed", "0", *words)
    return said.status, said.out


def test_an_audit_of_an_honest_run(trained: DictConfig, command: Callable) -> None:
    before = everything(run_folder(trained))
    status, out = audit(trained, command, "--steps", "6")
    assert status == 0 and out.count(": same") == 6
    assert "6 of 6 logged steps can be repeated, from the initial weights at step 0" in out
    assert "from best.ckpt (step 8)" in out and "equal to the bit: as it was logged" in out
    assert everything(run_folder(trained)) == before, "nothing is written there"


def test_several_audits_end_with_a_count(trained: DictConfig, command: Callable) -> None:
    folder = run_folder(trained)
    copy = folder.with_name("seed-1")
    shutil.copytree(folder, copy)
    try:
        (copy / "checkpoints" / "last.ckpt").write_bytes(b"cut")
        said = command("sweep", "audit", str(folder.parent), "--steps", "2")
    finally:
        shutil.rmtree(copy)
    assert said.status == 1
    assert said.out.splitlines()[-1] == "1 of 2 runs are as they were logged"


def test_an_audit_finds_a_changed_figure(trained: DictConfig, command: Callable) -> None:
    file = run_folder(trained) / "metrics.csv"
    kept = file.read_text()
    rows = list(csv.reader(kept.splitlines()))
    column = rows[0].index("train/loss_step")
    row = next(row for row in rows[1:] if row[rows[0].index("step")] == "4")
    row[column] = repr(float(row[column]) - 1e-6)
    try:
        with open(file, "w", newline="") as opened:
            csv.writer(opened).writerows(rows)
        status, out = audit(trained, command)
    finally:
        file.write_text(kept)
    assert status == 1 and out.count("DIFFERS") == 1 and "NOT as it was logged" in out


def test_an_audit_finds_a_changed_checkpoint(trained: DictConfig, command: Callable) -> None:
    file = run_folder(trained) / "checkpoints" / "best.ckpt"
    kept = file.read_bytes()
    checkpoint = torch.load(file, weights_only=True)
    next(iter(checkpoint["state_dict"].values())).mul_(1.001)
    try:
        torch.save(checkpoint, file)
        status, out = audit(trained, command)
        assert status == 1 and "from best.ckpt (step 8)" in out and "NOT as" in out
        file.write_bytes(kept[:-100])
        status, out = audit(trained, command)
        assert status == 1 and "best.ckpt is broken: " in out
    finally:
        file.write_bytes(kept)


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "pytorch_lightning.callbacks.BackboneFinetuning", "verbose": "{precious}"},
        {"_target_": "mixlab.callbacks.GracefulStop", "checkpoint": "{precious}", "minutes": 0},
        {
            "_target_": "pytorch_lightning.callbacks.ModelCheckpoint",
            "dirpath": "{precious}.d",
            "monitor": "train/loss",
        },
    ],
)
def test_an_audit_writes_nowhere(
    trained: DictConfig, here: Path, command: Callable, node: dict
) -> None:
    precious = here / "precious"
    precious.write_text("mine")
    node = {key: str(v).format(precious=precious) if v != 0 else v for key, v in node.items()}
    file = run_folder(trained) / "config.yaml"
    kept = file.read_text()
    cfg = OmegaConf.load(file)
    cfg.callbacks.theirs = node
    try:
        file.write_text(OmegaConf.to_yaml(cfg))
        said = command("sweep", "audit", str(run_folder(trained)), "--steps", "1")
    finally:
        file.write_text(kept)
    assert precious.read_text() == "mine" and {path.name for path in here.iterdir()} == {"precious"}
    assert said.status == (0 if "ModelCheckpoint" in node["_target_"] else 2), said.sentence


def test_what_cannot_be_audited_is_one_sentence(
    trained: DictConfig, runs: dict[str, Path], command: Callable
) -> None:
    assert "nothing to check" in command("sweep", "audit", "logs").sentence
    folder = run_folder(trained)
    assert "--steps and --reach must be above 0" in (
        command("sweep", "audit", str(folder), "--steps", "0").sentence
    )
    record = read_json(folder / "run.json")
    changed = {**record, "code": {**record["code"], "mixlab/models/classifier.py": "another"}}
    write_json(folder / "run.json", changed)
    try:
        said = command("sweep", "audit", str(folder))
        assert said.status == 2 and "mixlab/models/classifier.py changed" in said.sentence
    finally:
        write_json(folder / "run.json", record)
