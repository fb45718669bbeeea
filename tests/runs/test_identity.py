"""Who a run is: what changes the training changes the arm, and nothing else does."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from helpers.small_runs import composed
from mixlab.runs import arm_hash, arm_slug, run_folder
from mixlab.runs.identity import file_name, identity, watching

ACTS = [
    "data.batch_size=32", "data.val_size=0.1", "data.image_size=28", "model=resnet20",
    "model.network.dropout=0.3", "mixing=none", "mixing=cutmix", "mixing.probability=0.5",
    "mixing.method.alpha=0.3", "augmentation=standard", "optimizer=sgd", "optimizer.lr=0.01",
    "scheduler=cosine", "trainer.max_epochs=11", "trainer.max_steps=5", "trainer.devices=2",
    "trainer.precision=bf16-mixed", "trainer.accumulate_grad_batches=2",
    "trainer.gradient_clip_val=1", "trainer.limit_train_batches=20", "callbacks.best.mode=min",
    "trainer.kwargs={max_time:'00:00:01:00'}", "ckpt_path=somewhere.ckpt",
    "trainer.limit_val_batches=2", "trainer.limit_test_batches=2", "trainer.overfit_batches=2",
    "trainer.check_val_every_n_epoch=2", "data.normalize={mean:[0.5],std:[0.5]}",
    "trainer.sync_batchnorm=true", "lr_base_size=256", "mixing.partners=across_ranks",
    "mixing.strength=0.3", "mixing.alpha_schedule={linear:[0.1,1]}", "mixing.mix=inputs",
    "mixing.class_probability={3:0.2}", "trainer.limit_train_batches=1",
]  # fmt: skip
WATCHES = [
    "seed=7", "task_name=another", "tags=[x]", "threads=3", "test=false", "existing=reuse",
    "retry=all",    "logger=none", "trainer.enable_progress_bar=true", "trainer.profiler=simple",
    "trainer.log_every_n_steps=1", "data.num_workers=4", "paths.root_dir=/elsewhere",
    "trainer.accelerator=cpu", "allow=[helpers]", "callbacks.last.every_seconds=0",
    "metrics=f1", "callbacks=[default,lr_monitor]", "rank_timeout=1h",
]  # fmt: skip


def test_everything_that_acts_makes_an_arm_of_its_own() -> None:
    hashes = {word: arm_hash(changed(word)) for word in ACTS}
    assert len({*hashes.values(), arm_hash(composed())}) == len(ACTS) + 1


@pytest.mark.parametrize("key", [
    "trainer.sync_batchnorm", "lr_base_size", "rank_timeout", "mixing.strength",
    "mixing.alpha_schedule", "mixing.class_probability", "mixing.mix",
])  # fmt: skip
def test_a_key_that_older_runs_lack_changes_nothing_by_its_default(key: str) -> None:
    cfg = composed().copy()
    *above, name = key.split(".")
    del (cfg[above[0]] if above else cfg)[name]
    assert arm_hash(cfg) == arm_hash(composed())


@pytest.mark.parametrize("word", WATCHES)
def test_what_only_watches_does_not(word: str) -> None:
    assert arm_hash(changed(word)) == arm_hash(composed())


def changed(word: str) -> DictConfig:
    """The default configuration with one override; only choices are composed anew."""
    key, value = word.split("=", 1)
    if "." not in key and key not in ("seed", "tags", "threads", "task_name", "test", "code"):
        return composed(word)
    cfg = composed().copy()
    OmegaConf.update(cfg, key, OmegaConf.create(f"value: {value}").value, merge=True)
    return cfg


def test_what_is_drawn_from_the_seed_is_no_other_arm() -> None:
    cfgs = [composed().copy() for _ in range(2)]
    for seed, cfg in enumerate(cfgs):
        cfg.seed, cfg.model.network.start = seed, "${seed}"
    assert arm_hash(cfgs[0]) == arm_hash(cfgs[1])


def test_none_is_one_arm_at_any_probability() -> None:
    one, two = (composed("mixing=none", f"mixing.probability={p}") for p in (0.5, 1))
    assert arm_hash(one) == arm_hash(two) != arm_hash(composed("mixing=mixup"))


def test_one_is_one_point_nought() -> None:
    whole, real = (composed("mixing=cutmix", f"mixing.method.alpha={a}") for a in ("1", "1.0"))
    assert arm_hash(whole) == arm_hash(real)


def test_a_layer_whose_name_is_a_number_is_one_layer() -> None:
    words = (f"mixing=manifold_mixup mixing.layers={given}" for given in ("[2]", "['2']", "[3]"))
    two, quoted, three = (arm_hash(composed(*each.split())) for each in words)
    assert two == quoted != three


def test_true_is_not_one() -> None:
    cfg = composed()
    one, true = cfg.copy(), cfg.copy()
    one.data.shuffle, true.data.shuffle = 1, True
    assert arm_hash(one) != arm_hash(true)


def test_a_moved_checkout_finds_its_runs() -> None:
    here, there = (composed("data=cifar10").copy() for _ in range(2))
    there.paths.data_dir = "/mnt/data"
    there.paths.run_dir = "/mnt/logs/runs/x"
    assert arm_hash(here) == arm_hash(there)


def test_a_callback_that_may_act_counts() -> None:
    cfg = composed().copy()
    for name, counts in (("LearningRateMonitor", False), ("EarlyStopping", True)):
        with_callback = cfg.copy()
        with_callback.callbacks.more = {"_target_": f"pytorch_lightning.callbacks.{name}"}
        assert (arm_hash(with_callback) != arm_hash(cfg)) == counts


def test_a_callback_says_itself_whether_it_acts(tmp_path: Path, monkeypatch) -> None:
    says = "class Watch:\n    changes_training = False\nclass Silent:\n    pass\n"
    (tmp_path / "watchlab.py").write_text(says)
    monkeypatch.syspath_prepend(tmp_path)
    for name, allow, acts in (
        ("Watch", ["watchlab"], False), ("Silent", ["watchlab"], True), ("Watch", [], True),
    ):  # fmt: skip
        cfg = composed().copy()
        cfg.callbacks.mine, cfg.allow = {"_target_": f"watchlab.{name}"}, allow
        assert (arm_hash(cfg) != arm_hash(composed())) == acts
        assert watching(cfg) == ([] if acts else ["mine"])


def test_the_folder_is_a_function_of_the_configuration(tmp_path: Path) -> None:
    cfg = composed("mixing=cutmix", "model=resnet20").copy()
    cfg.paths.log_dir, cfg.seed = str(tmp_path), 3
    assert run_folder(cfg) == run_folder(cfg.copy())
    assert run_folder(cfg).relative_to(tmp_path).as_posix() == (
        f"runs/train/digits-resnet20-cutmix-{arm_hash(cfg)}/seed-3"
    )
    assert arm_slug(composed("mixing=none")) == "digits-cnn-none"


def test_a_method_has_the_name_of_its_configuration(tmp_path: Path) -> None:
    cfg = composed("mixing=point_mixup", f"paths.log_dir={tmp_path}")
    assert arm_slug(cfg) == "digits-cnn-point_mixup"


@pytest.mark.parametrize(
    ("mixing", "earlier"), [("point_mixup", "pointmixup"), ("deit", "one_of"), ("deit", "oneof")]
)
def test_an_arm_whose_folder_has_an_earlier_name_stays_there(
    tmp_path: Path, mixing: str, earlier: str
) -> None:
    cfg = composed(f"mixing={mixing}", f"paths.log_dir={tmp_path}")
    arm = run_folder(cfg).parent
    assert arm.name == f"digits-cnn-{mixing}-{arm_hash(cfg)}"
    older = arm.with_name(f"digits-cnn-{earlier}-{arm_hash(cfg)}")
    older.mkdir(parents=True)
    assert run_folder(cfg).parent == older


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["mixing=deit"], "deit"),
        (["mixing=convnext"], "deit"),  # the same settings
        (["mixing=torchvision_references"], "torchvision_references"),
        (["mixing=timm_default"], "timm_default"),
        (["mixing=randommix"], "randommix"),
        (["mixing=cutmix_three"], "cutmix_three"),
        (["mixing=cutmix_cifar10"], "cutmix_cifar10"),
        (["mixing=deit", "mixing.probability=0.5"], "deit"),
        (["mixing=deit", "mixing.partners=derangement"], "one_of"),  # the file says reverse
        (["mixing=mixup", "mixing.method.alpha=1.0", "mixing.method.per_row=false"], "mixup"),
        (["mixing=one_of"], "one_of"),
    ],
)
def test_a_recipe_used_as_it_is_names_its_arm(words: list[str], name: str) -> None:
    cfg = composed(*words)
    assert arm_slug(cfg) == arm_slug(cfg, identity(cfg)) == f"digits-cnn-{name}"


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    cfg = composed().copy()
    cfg.paths.log_dir = str(tmp_path)
    cfg.task_name, cfg.data.name, cfg.model.name = "../../etc", "a/b=c d", ".."
    folder = run_folder(cfg)
    assert folder.resolve().is_relative_to(tmp_path / "runs")
    assert len(folder.relative_to(tmp_path).parts) == 4
    assert "=" not in str(folder) and " " not in str(folder)


@settings(max_examples=50)
@given(st.text())
def test_any_word_is_a_name(word: str) -> None:
    name = file_name(word)
    assert name not in ("", ".", "..") and Path(name).name == name
    assert file_name(name) == name
