"""From the overrides of a multirun to a list of runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from mixlab.runs import Run, run_folder, sweep
from mixlab.runs.files import write_json
from mixlab.runs.provenance import code_hashes
from small import composed


def parsed(*words: str) -> list[Any]:
    return OverridesParser.create().parse_overrides(list(words))


def arms(*words: str) -> list[list[str]]:
    return sweep.arms(parsed(*words), BasicSweeper.split_arguments)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["mixing=none"], None),
        (["seeds=3"], [0, 1, 2]),
        (["seed=4"], [4]),
        (["seed=4,2,7"], [4, 2, 7]),
        (["seed=range(3)"], [0, 1, 2]),
    ],
)
def test_seeds(words: list[str], expected: list[int] | None) -> None:
    assert sweep.seeds(parsed(*words)) == expected


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["seeds=0"], "whole number above 0, got 0; seeds=5, say"),
        (["seeds=many"], "whole number above 0, got 'many'"),
        (["seeds=true"], "whole number above 0, got True"),
        (["seeds=2", "seed=1"], "say the same thing twice"),
        (["seed=1,x"], "integer from 0 to 2\\*\\*32 - 1, got x"),
        (["seed=-1"], "got -1"),
        (["seed=4294967296"], "got 4294967296"),
    ],
)
def test_seeds_that_cannot_be(words: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        sweep.seeds(parsed(*words))


def test_arms_are_the_cross_product_of_all_but_the_seed() -> None:
    assert arms("mixing=none,mixup", "seeds=5", "data=digits", "mixing.probability=0.5,1") == [
        ["mixing=none", "data=digits", "mixing.probability=0.5"],
        ["mixing=none", "data=digits", "mixing.probability=1"],
        ["mixing=mixup", "data=digits", "mixing.probability=0.5"],
        ["mixing=mixup", "data=digits", "mixing.probability=1"],
    ]


def test_arms_with_knobs_of_their_own() -> None:
    grid = "arms={none:{},mixup:{method.alpha:[0.2,1]},cutmix:{probability:[0.5],gate:batch}}"
    assert arms("model=cnn,resnet20", grid)[:4] == [
        ["model=cnn", "mixing=none"],
        ["model=cnn", "mixing=mixup", "mixing.method.alpha=0.2"],
        ["model=cnn", "mixing=mixup", "mixing.method.alpha=1"],
        ["model=cnn", "mixing=cutmix", "mixing.probability=0.5", "mixing.gate=batch"],
    ]
    assert len(arms("model=cnn,resnet20", grid)) == 8


def test_arms_with_several_sets_of_knobs_and_knobs_outside_of_mixing() -> None:
    grid = "arms={none:[{},{/augmentation:cutout,/augmentation.fill:[black,grey]}],cutmix:{}}"
    assert arms(grid) == [
        ["mixing=none"],
        ["mixing=none", "augmentation=cutout", "augmentation.fill=black"],
        ["mixing=none", "augmentation=cutout", "augmentation.fill=grey"],
        ["mixing=cutmix"],
    ]


def test_the_command_line_replaces_what_a_sweeps_configuration_says() -> None:
    of_config = parsed("mixing=none,mixup", "seeds=6", "mixing.probability=0.5,1")
    merged = sweep.merged(of_config, parsed("data=digits", "seed=3", "mixing=cutmix"))
    words = [override.input_line for override in merged]
    assert words == ["mixing.probability=0.5,1", "data=digits", "seed=3", "mixing=cutmix"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("failed", ("failed",)),
        ("failed,diverged", ("failed", "diverged")),
        ("[failed,diverged]", ("failed", "diverged")),
        ("all", ("failed", "diverged")),
        ("null", ()),
    ],
)
def test_what_is_to_be_tried_again(word: str, expected: tuple[str, ...]) -> None:
    overrides = parsed(f"sweep.retry={word}", "mixing=none")
    assert sweep.retried(overrides) == expected
    assert sweep.arms(overrides, BasicSweeper.split_arguments) == [["mixing=none"]]


def test_what_cannot_be_tried_again() -> None:
    with pytest.raises(ValueError, match="must be failed, diverged or all, got finished"):
        sweep.retried(parsed("sweep.retry=finished"))


@pytest.mark.parametrize(("value", "word"), [(None, "null"), (True, "true"), (0.5, "0.5")])
def test_values_as_words(value: Any, word: str) -> None:
    assert sweep.word(value) == word


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [("arms=mixup", "arms maps mixing methods"), ("arms={mixup:3}", "needs its knobs in braces")],
)
def test_arms_that_cannot_be(grid: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        arms(grid)


def planned(folder: Path, seeds: list[int] | None, *arm_overrides: list[str]) -> list[sweep.Job]:
    def compose(overrides: list[str]) -> DictConfig:
        cfg = composed(*overrides).copy()
        cfg.paths.log_dir = str(folder / "logs")
        return cfg

    return sweep.plan(list(arm_overrides), seeds, compose)


def test_equal_arms_are_one(tmp_path: Path) -> None:
    jobs = planned(
        tmp_path, [0, 1],
        ["mixing=none", "mixing.probability=0.5"], ["mixing=none", "mixing.probability=1"],
        ["mixing=cutmix", "mixing.method.alpha=1"], ["mixing=cutmix", "mixing.method.alpha=1.0"],
    )  # fmt: skip
    assert len({job.folder for job in jobs}) == len(jobs) == 4
    assert [(job.seed, job.arm.mixing is None) for job in jobs] == [
        (0, True), (0, False), (1, True), (1, False),
    ]  # fmt: skip
    assert jobs[-1].overrides == ["mixing=cutmix", "mixing.method.alpha=1", "seed=1"]


def test_without_seeds_the_configurations_own(tmp_path: Path) -> None:
    (job,) = planned(tmp_path, None, ["seed=9"])
    assert job.config.seed == job.seed == 9 and job.folder.name == "seed-9"
    assert job.folder == run_folder(job.config)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DictConfig:
    """What Hydra knows of the sweep, which is begun in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "logs" / "sweeps" / "s")}}})


def finish(job: sweep.Job, code: dict[str, str] | None = None) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    record = {"status": "finished", "results": {"last": {}}, "code": code or code_hashes()}
    write_json(job.folder / "run.json", record)


def test_the_list_leads_to_the_runs(tmp_path: Path, config: DictConfig) -> None:
    jobs = planned(tmp_path, [0, 1], ["mixing=none"])
    assert sweep.begin(jobs, config) == jobs
    folder = tmp_path / "logs" / "sweeps" / "s"
    record = json.loads((folder / "sweep.json").read_text())
    assert record["name"] == "s"
    assert [(folder / run).resolve() for run in record["runs"]] == [job.folder for job in jobs]


def test_only_what_is_missing_is_done(
    tmp_path: Path, config: DictConfig, capsys: pytest.CaptureFixture
) -> None:
    jobs = planned(tmp_path, [0, 1, 2], ["mixing=none"])
    finish(jobs[1])
    assert sweep.begin(jobs, config) == [jobs[0], jobs[2]]
    assert (
        "3 runs, 1 of them finished, listed in logs/sweeps/s/sweep.json" in capsys.readouterr().out
    )


def test_runs_of_other_code_are_asked_about(tmp_path: Path, config: DictConfig) -> None:
    jobs = planned(tmp_path, [0, 1], ["mixing=none"])
    finish(jobs[0], code={**code_hashes(), "mixlab/training.py": "another"})
    with pytest.raises(ValueError, match="1 finished by other code .*mixlab/training.py"):
        sweep.begin(jobs, config)
    jobs[0].arm.code = "reuse"
    assert sweep.begin(jobs, config) == [jobs[1]]


def statuses(jobs: list[sweep.Job]) -> list[str]:
    return [json.loads((job.folder / "run.json").read_text())["status"] for job in jobs]


def test_every_run_that_is_missing_is_planned(tmp_path: Path, config: DictConfig) -> None:
    jobs = planned(tmp_path, [0, 7], ["mixing=none"])
    finish(jobs[0])
    sweep.begin(jobs, config)
    assert statuses(jobs) == ["finished", "planned"]
    record = json.loads((jobs[1].folder / "run.json").read_text())
    assert (record["arm"], record["seed"]) == ("digits-cnn-none", 7)
    assert jobs[1].folder.parent.name == f"{record['arm']}-{record['hash']}"


@pytest.mark.parametrize(
    ("retry", "begun"), [((), [2, 3]), (("failed",), [0, 2, 3]), (sweep.RETRIED, [0, 1, 2, 3])]
)
def test_failed_and_diverged_runs_are_left_until_somebody_asks(
    tmp_path: Path, config: DictConfig, retry: tuple[str, ...], begun: list[int]
) -> None:
    jobs = planned(tmp_path, [0, 1, 2, 3], ["mixing=none"])
    for job, status in zip(jobs, ("failed", "diverged", "interrupted"), strict=False):
        job.folder.mkdir(parents=True)
        write_json(job.folder / "run.json", {"status": status, "code": code_hashes()})
    assert sweep.begin(jobs, config, retry) == [jobs[number] for number in begun]
    assert statuses(jobs) == ["failed", "diverged", "interrupted", "planned"]


def test_rerun_sets_every_run_aside(tmp_path: Path, config: DictConfig) -> None:
    jobs = planned(tmp_path, [0, 1], ["mixing=none"])
    finish(jobs[0])
    jobs[0].arm.rerun = True
    assert sweep.begin(jobs, config) == jobs and not jobs[0].arm.rerun
    assert statuses(jobs) == ["planned", "planned"]
    assert (jobs[0].folder.with_name("seed-0.1") / "run.json").exists()
    jobs[0].arm.rerun = True
    with Run.open(jobs[1].config), pytest.raises(RuntimeError, match="before rerun=true"):
        sweep.begin(jobs, config)
    assert statuses(jobs) == ["planned", "planned"]


def test_a_ticket_is_what_its_configuration_says(tmp_path: Path) -> None:
    jobs = planned(tmp_path, [3, 11], ["mixing=cutmix"], ["mixing=none"])
    for job, ticket in zip(jobs, sweep.tickets(jobs, threads=2), strict=True):
        cfg = OmegaConf.create(ticket.config)
        assert (cfg.seed, cfg.threads) == (job.seed, 2)
        assert run_folder(cfg) == ticket.folder == job.folder


def test_the_end_says_what_is_missing_and_what_is_next(
    tmp_path: Path, config: DictConfig, capsys: pytest.CaptureFixture
) -> None:
    jobs = planned(tmp_path, [0, 1, 2, 3], ["mixing=none"])
    sweep.begin(jobs, config)
    finish(jobs[0])
    for job, record in zip(
        jobs[1:3], ({"status": "failed", "error": "no\nmemory"}, {"status": "running"}), strict=True
    ):
        write_json(job.folder / "run.json", record)
    with pytest.raises(SystemExit) as end:
        sweep.end(jobs, config)
    assert end.value.code == 1
    said = capsys.readouterr().out
    assert "failed: logs/runs/train/" in said and "/seed-1: no memory" in said
    assert "/seed-2: its process is gone" in said
    assert "planned: logs/runs/train/" in said and "/seed-3: it was not begun" in said
    assert "sweep.retry=failed added to the same command trains the failed again" in said
    assert "1 of 4 runs finished" in said and "the same command again trains what is" in said
    assert said.splitlines()[-1] == "next: mixlab-compare logs/sweeps/s"


def test_a_whole_sweep_ends_well(
    tmp_path: Path, config: DictConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = planned(tmp_path, [0], ["mixing=none"])
    finish(jobs[0])
    sweep.end(jobs, config)
    assert capsys.readouterr().out.startswith("1 of 1 runs finished\nnext: mixlab-compare")


def test_other_sweepers_get_a_result(tmp_path: Path) -> None:
    (job,) = planned(tmp_path, [0], ["mixing=none"])
    with pytest.raises(RuntimeError, match="the run was not begun"):
        _ = sweep.job_return(job.config).return_value
    finish(job)
    assert sweep.job_return(job.config).return_value == {"last": {}}
