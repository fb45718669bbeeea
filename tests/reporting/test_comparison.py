"""Arms are paired by seed within their block, and nothing is dropped in silence."""

import itertools
import json
import shutil

import pytest

from helpers.written_runs import config, mixing, quickstart, write_arms, write_run
from mixlab.reporting import formatting
from mixlab.reporting.comparison import compare_runs, headline_metric
from mixlab.reporting.pairing import Question
from mixlab.runs.records import find

MIXUP, CUTMIX = config(mixing("Mixup", alpha=0.2)), config(mixing("CutMix"))


def compared(*paths, **question):
    return compare_runs(find(paths), Question(**question))


def arms(block):
    return {arm.label: arm for arm in block.arms}


def notes(comparison):
    return "\n".join([*comparison.notes, *(note for b in comparison.blocks for note in b.notes)])


def change(folder, **record):
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | record))


def test_quickstart(tmp_path):
    comparison = compared(quickstart(tmp_path))
    (block,) = comparison.blocks
    assert (block.title, block.checkpoints, block.notes) == ("digits, cnn", ("best", "last"), ())
    assert [arm.label for arm in block.arms] == ["none", "cutmix", "mixup"]
    assert block.baseline is block.arms[0]
    assert comparison.statuses == {"finished": 15}


def test_differences_are_between_runs_of_one_seed(tmp_path):
    """Seeds differ by far more than arms do; only pairing shows the constant gain."""
    for seed, level in enumerate([0.5, 0.9, 0.7]):
        write_run(tmp_path, config(), seed, accuracy=level)
        write_run(tmp_path, MIXUP, seed, accuracy=level + [0.01, 0.02, 0.03][seed])
    mixup = arms(compared(tmp_path).blocks[0])["mixup"].results["best"]
    assert mixup.pairs == pytest.approx({0: 0.01, 1: 0.02, 2: 0.03})
    assert mixup.difference.mean == pytest.approx(0.02)
    assert mixup.difference.sd == pytest.approx(0.01)
    assert mixup.difference.correlation > 0.99
    assert mixup.summary.mean == pytest.approx(0.72)


def test_best_and_last_are_not_confused(tmp_path):
    write_run(tmp_path, config(), 0, accuracy=0.9)
    (arm,) = compared(tmp_path).blocks[0].arms
    assert arm.results["best"].values == {0: 0.9}
    assert arm.results["last"].values == pytest.approx({0: 0.898})


def test_last_alone_without_validation_data(tmp_path):
    write_arms(tmp_path, {"none": (config(), 0.9), "mixup": (MIXUP, 0.95)}, validation=False)
    (block,) = compared(tmp_path).blocks
    assert (block.checkpoints, block.headline) == (("last",), "last")
    assert "best" not in block.arms[0].results


def test_one_block_for_each_data_set_and_model(tmp_path):
    for data in ("digits", "cifar10"):
        for model in ("cnn", "resnet20"):
            names = {"data.name": data, "model.name": model}
            write_run(tmp_path, config(None, **names), 0)
            write_run(tmp_path, config(mixing("Mixup"), **names), 0)
    blocks = compared(tmp_path).blocks
    assert [block.title for block in blocks] == [
        "cifar10, cnn", "cifar10, resnet20", "digits, cnn", "digits, resnet20",
    ]  # fmt: skip
    assert all([arm.label for arm in block.arms] == ["none", "mixup"] for block in blocks)


@pytest.mark.parametrize(
    "more",
    [
        {"augmentation": {"_target_": "mixlab.augmentation.FlipCrop"}},
        {"ckpt_path": "runs/other/checkpoints/best.ckpt"},
        {"callbacks": {"other": {"_target_": "mylab.Averaging"}}},
        {"optimizer.lr": 0.1},
    ],
)
def test_arms_that_differ_in_more_than_mixing_are_not_in_one_block(tmp_path, more):
    write_run(tmp_path, config(), 0)
    write_run(tmp_path, config(mixing("Mixup"), **more), 0)
    assert [len(block.arms) for block in compared(tmp_path).blocks] == [1, 1]


def test_arms_that_differ_in_more_than_mixing_are_not_compared(tmp_path):
    write_run(tmp_path, config(), 0)
    write_run(tmp_path, config(mixing("Mixup"), **{"trainer.max_epochs": 20}), 0)
    blocks = compared(tmp_path).blocks
    assert [block.title for block in blocks] == [
        "digits, cnn, max_epochs=10", "digits, cnn, max_epochs=20",
    ]  # fmt: skip
    (block,) = compared(tmp_path, by=("mixing", "trainer.max_epochs")).blocks
    assert [arm.label for arm in block.arms] == ["none", "mixup"]


def test_by_another_key(tmp_path):
    for rate in (0.1, 0.01):
        for node in (None, mixing("Mixup")):
            write_run(tmp_path, config(node, **{"optimizer.lr": rate}), 0)
    blocks = compared(tmp_path, by=("optimizer.lr",)).blocks
    assert [block.title for block in blocks] == [
        "digits, cnn, mixing=mixup",
        "digits, cnn, mixing=none",
    ]
    assert [arm.label for arm in blocks[0].arms] == ["lr=0.01", "lr=0.1"]
    assert "the baseline is lr=0.01" in blocks[0].notes[0]
    blocks = compared(tmp_path, by=("optimizer.lr",), baseline="lr=0.1").blocks
    assert blocks[0].baseline is blocks[0].arms[0] and blocks[0].baseline.label == "lr=0.1"


def test_baseline_by_name_and_where_it_is_missing(tmp_path):
    write_arms(tmp_path, {"none": (config(), 0.9), "mixup": (MIXUP, 0.95), "cutmix": (CUTMIX, 0.9)})
    write_run(tmp_path, config(None, **{"data.name": "cifar10"}), 0)
    cifar10, digits = compared(tmp_path, baseline="mixup").blocks
    assert digits.baseline is not None and digits.baseline.label == "mixup"
    assert arms(digits)["none"].results["best"].difference.mean == pytest.approx(-0.05, abs=0.01)
    assert cifar10.baseline is None and "no arm is called mixup" in cifar10.notes
    assert cifar10.arms[0].results["best"].difference.n == 0


def test_without_an_unmixed_arm_the_first_is_the_baseline_and_says_so(tmp_path):
    write_arms(tmp_path, {"mixup": (MIXUP, 0.95), "cutmix": (CUTMIX, 0.9)}, range(2))
    (block,) = compared(tmp_path).blocks
    assert block.baseline is not None and block.baseline.label == "cutmix"
    assert "no arm is without mixing, so the baseline is cutmix" in block.notes[0]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"metric": "test/acuracy"}, "did you mean test/accuracy"),
        ({"metric": "zzz"}, "choose one of test/accuracy, test/loss"),
        ({"by": ("optimizer.lrr",)}, "did you mean optimizer.lr"),
        ({"baseline": "mixup alpha=3"}, "choose one of cutmix, mixup, none"),
    ],
)
def test_a_question_about_nothing_is_one_sentence(tmp_path, question, message):
    sweep = quickstart(tmp_path, range(2))
    with pytest.raises(ValueError, match=message):
        compared(sweep, **question)


def test_a_loss_is_better_when_it_is_lower(tmp_path):
    sweep = quickstart(tmp_path, range(8), sd=0.0001)
    best = arms(compared(sweep, metric="test/loss").blocks[0])["mixup"].results["best"]
    assert best.difference.mean < 0 and best.verdict == "better"


def test_unit_and_direction_are_those_that_the_runs_recorded(tmp_path):
    facts = {"metrics": {"wrong": {"unit": "%", "higher_is_better": False}}}
    for seed, (node, level) in itertools.product(range(6), ((config(), 0.2), (MIXUP, 0.1))):
        results = {"last": {"test/wrong": level + 0.001 * seed * (node is MIXUP)}}
        write_run(tmp_path, node, seed, results=results, **facts)
    comparison = compared(tmp_path, metric="test/wrong")
    mixup = arms(comparison.blocks[0])["mixup"].results["last"]
    assert mixup.difference.mean < 0 and mixup.verdict == "better"
    assert formatting.metric_words(comparison.question) == "test wrong, %"


def test_a_single_seed_is_shown_and_claims_nothing(tmp_path):
    write_arms(tmp_path, {"none": (config(), 0.9)}, range(5))
    write_run(tmp_path, MIXUP, 3, accuracy=0.99)
    comparison = compared(tmp_path)
    mixup = arms(comparison.blocks[0])["mixup"].results["best"]
    assert (mixup.summary.n, mixup.difference.n, mixup.verdict) == (1, 1, "one pair")
    assert "none: seeds 0-2, 4 not paired, mixup has no such run" in notes(comparison)


def test_seeds_that_never_meet(tmp_path):
    write_run(tmp_path, config(), 0)
    write_run(tmp_path, MIXUP, 1)
    comparison = compared(tmp_path)
    assert arms(comparison.blocks[0])["mixup"].results["best"].verdict == "no pairs"
    assert "mixup: seed 1 not paired" in notes(comparison)


def test_runs_that_did_not_finish_are_counted_and_named(tmp_path):
    sweep = quickstart(tmp_path)
    mixup = sorted(tmp_path.glob("runs/*/*mixup*/*"))
    change(mixup[0], status="failed", results=None, error="CUDA out of memory\nand more")
    change(mixup[1], status="diverged", results=None)
    change(mixup[2], status="interrupted", results=None)
    shutil.rmtree(mixup[3])
    comparison = compared(sweep)
    assert comparison.statuses == {
        "finished": 11, "planned": 1, "interrupted": 1, "failed": 1, "diverged": 1,
    }  # fmt: skip
    told = notes(comparison)
    assert "1 of 5 runs failed (seed 0); the mean leaves them out: CUDA out of memory and" in told
    assert "1 of 5 runs diverged (seed 1); the mean leaves them out" in told
    assert "1 of 5 runs interrupted (seed 2)" in told
    assert "1 of 5 runs planned (seed 3)" in told
    assert arms(comparison.blocks[0])["mixup"].results["best"].summary.n == 1


def test_a_diverged_run_with_results_does_not_count(tmp_path):
    write_run(tmp_path, config(), 0)
    change(write_run(tmp_path, config(), 1), status="diverged")
    (arm,) = compared(tmp_path).blocks[0].arms
    assert arm.results["best"].summary.n == 1 and len(arm.runs) == 2


def test_a_finished_run_without_the_metric_is_named(tmp_path):
    sweep = quickstart(tmp_path)
    change(next(tmp_path.glob("runs/*/*mixup*/seed-2")), results={"best": None, "last": {}})
    comparison = compared(sweep)
    assert "mixup: seed 2 finished without test/accuracy at `best`" in notes(comparison)
    assert arms(comparison.blocks[0])["mixup"].results["best"].difference.n == 4


def test_an_arm_that_only_fails(tmp_path):
    write_arms(tmp_path, {"none": (config(), 0.9)}, range(3))
    write_arms(tmp_path, {"mixup": (MIXUP, 0.9)}, range(3), status="failed")
    mixup = arms(compared(tmp_path).blocks[0])["mixup"]
    assert (mixup.results["best"].verdict, mixup.cost, len(mixup.runs)) == ("no results", None, 3)


def test_a_run_without_a_seed_is_named(tmp_path):
    write_run(tmp_path, config(), 0)
    folder = write_run(tmp_path, config(), 1)
    change(folder, seed="one")
    folder.rename(folder.with_name("my run"))
    comparison = compared(tmp_path)
    assert "none: 1 finished without a recorded seed, left out" in notes(comparison)
    assert comparison.blocks[0].arms[0].results["best"].summary.n == 1


def test_nothing_finished_yet(tmp_path):
    write_run(tmp_path, config(), 0, status="running")
    write_run(tmp_path, MIXUP, 0, status="planned")
    comparison = compared(tmp_path)
    (block,) = comparison.blocks
    assert block.checkpoints == () and len(block.arms) == 2
    assert comparison.statuses == {"running": 1, "planned": 1}


def test_an_arm_of_which_nothing_has_begun(tmp_path):
    sweep = quickstart(tmp_path)
    for folder in tmp_path.glob("runs/*/*mixup*/*"):
        shutil.rmtree(folder)
    comparison = compared(sweep)
    assert [arm.label for arm in comparison.blocks[0].arms] == ["none", "cutmix"]
    assert comparison.notes == ("digits-cnn-mixup: 5 planned, no config.yaml to tell the arm from",)


def test_different_data_refuse_the_pair(tmp_path):
    sweep = quickstart(tmp_path)
    change(next(tmp_path.glob("runs/*/*mixup*/seed-2")), data={"sha256": "ff" * 32})
    comparison = compared(sweep)
    mixup = arms(comparison.blocks[0])["mixup"].results["best"]
    assert (mixup.summary.n, sorted(mixup.pairs)) == (5, [0, 1, 3, 4])
    assert "mixup: seed 2 not paired, none saw other data" in notes(comparison)
    assert "data differ: sha256 d1d1d1d1d1d1 (14 runs), ffffffffffff (1 run)" in notes(comparison)


def test_differing_facts_are_a_warning_each(tmp_path):
    sweep = quickstart(tmp_path)
    mixup = sorted(tmp_path.glob("runs/*/*mixup*/*"))
    change(mixup[0], threads=1)
    change(mixup[1], versions={"python": "3.11.9", "torch": "2.14.0", "pytorch-lightning": "2.6.6"})
    change(mixup[2], code={"mixlab/train.py": "zz", "mixlab/models/classifier.py": "bb"})
    change(mixup[3], hardware={"cpu": "AMD EPYC 7B13", "cores": 2, "gpu": "H200"})
    told = compared(sweep).blocks[0].notes
    assert [note.split(":")[0] for note in told] == [
        "threads differ", "hardware differ", "versions differ", "code differs",
    ]  # fmt: skip
    assert "2 (14 runs), 1 (1 run)" in told[0] and "gpu none (14 runs), H200 (1 run)" in told[1]
    assert "torch 2.15.0 (14 runs), 2.14.0 (1 run)" in told[2] and "mixlab/train.py" in told[3]


def test_a_run_kept_though_its_code_changed_is_named(tmp_path):
    sweep = quickstart(tmp_path)
    kept = next(tmp_path.glob("runs/*/*mixup*/seed-2"))
    change(kept, stale_code=["mixlab/a.py", "mixlab/b.py"])
    many = next(tmp_path.glob("runs/*/*cutmix*/seed-1"))
    change(many, stale_code=[f"mixlab/{n}.py" for n in range(9)])
    twin = next(tmp_path.glob("runs/*/*cutmix*/seed-2"))
    change(twin, stale_code=[f"mixlab/{n}.py" for n in range(9)])
    told = compared(sweep).blocks[0].notes
    words = "kept by existing=reuse though its code changed: "
    assert sorted(told) == sorted([
        f"{words}{kept} (mixlab/a.py, mixlab/b.py).",
        f"{words}{many}, {twin} (mixlab/0.py, mixlab/1.py, mixlab/2.py, mixlab/3.py, ...).",
    ])  # fmt: skip


def test_segmentations_are_compared_by_their_overlap(tmp_path):
    for seed in range(2):
        results = {"last": {"test/iou": 0.5, "test/accuracy": 0.9}}
        write_run(tmp_path, config(), seed, results=results)
    assert headline_metric(find([tmp_path]).runs) == "test/iou"
    write_run(tmp_path, config(), 2)
    assert headline_metric(find([tmp_path]).runs) == "test/accuracy"


@pytest.mark.parametrize(
    ("monitored", "metric"),
    [
        (["val/mean_average_precision"] * 2, "test/mean_average_precision"),
        (["val/mean_average_precision", "val/accuracy"], "test/accuracy"),
        (["val/loss"] * 2, "test/accuracy"),
        (["val/not_tested"] * 2, "test/accuracy"),
    ],
)
def test_what_chose_the_checkpoint_is_compared(tmp_path, monitored, metric):
    values = {"test/mean_average_precision": 0.3, "test/accuracy": 0.7, "test/loss": 0.5}
    for seed, name in enumerate(monitored):
        monitor = {"metric": name, "mode": "max"}
        write_run(tmp_path, config(), seed, results={"last": values}, monitor=monitor)
    assert headline_metric(find([tmp_path]).runs) == metric


def test_one_run_in_two_folders_counts_once(tmp_path):
    quickstart(tmp_path)
    again = config(**{"task_name": "again"})
    write_run(tmp_path, again, 0, accuracy=0.5, ended="2027-01-01T00:00:00+00:00")
    comparison = compared(tmp_path)
    assert comparison.statuses == {"finished": 15, "duplicate": 1}
    (block,) = comparison.blocks
    assert block.arms[0].results["best"].values[0] == 0.5  # the one that ended last
    write_run(tmp_path, config(**{"task_name": "cut"}), 1, status="failed")
    assert 1 in compared(tmp_path).blocks[0].arms[0].results["best"].values


def test_keys_that_follow_the_seed_do_not_split_arms(tmp_path):
    for seed in range(3):
        for node in (None, mixing("Mixup")):
            extra = {"data.split_seed": seed}
            write_run(
                tmp_path, config(node, **extra), seed, hash_="aaaaaaaa" if node else "bbbbbbbb"
            )
    (block,) = compared(tmp_path).blocks
    assert [len(arm.runs) for arm in block.arms] == [3, 3]


def test_cost_is_the_median_and_its_ratio(tmp_path):
    for seed, (base, mixed) in enumerate([(1.0, 1.1), (1.0, 1.1), (50.0, 90.0)]):
        write_run(tmp_path, config(), seed, seconds_per_epoch=base)
        write_run(tmp_path, MIXUP, seed, seconds_per_epoch=mixed)
    none, mixup = compared(tmp_path).blocks[0].arms
    assert (none.cost, mixup.cost) == (1.0, 1.1)
    assert mixup.cost_ratio == pytest.approx(1.1) and none.cost_ratio == 1.0


def test_seeds_may_be_any(tmp_path):
    for seed in (4, 3, 2**32 - 1):
        write_run(tmp_path, config(), seed)
        write_run(tmp_path, MIXUP, seed, accuracy=0.96)
    mixup = arms(compared(tmp_path).blocks[0])["mixup"]
    assert list(mixup.results["best"].pairs) == [3, 4, 2**32 - 1]
