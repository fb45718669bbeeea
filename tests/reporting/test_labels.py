"""Arms are told apart, by the fewest words, and only by what changes training."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.written_runs import config, mixing, write_run
from mixlab.reporting.labels import (
    describe,
    group_choice,
    knob_labels,
    labels,
    natural,
    settings,
)
from mixlab.runs.recipes import flatten
from mixlab.runs.records import read_run

NONE = config(None)
ONE_OF = {
    "_target_": "mixlab.callbacks.MixingCallback",
    "method": {
        "_target_": "mixlab.mixing.methods.OneOf",
        "methods": [
            {"_target_": "mixlab.mixing.methods.Mixup", "alpha": 0.2},
            {"_target_": "mixlab.mixing.methods.CutMix", "alpha": 1.0},
        ],
    },
}


def settings_of(tmp_path, *nodes):
    return [
        settings(read_run(write_run(tmp_path / str(i), node, 0))) for i, node in enumerate(nodes)
    ]


def label(tmp_path, *nodes, by=("mixing",)):
    found = settings_of(tmp_path, *nodes)
    return list(labels({str(i): one for i, one in enumerate(found)}, by).values())


def test_methods_alone_where_they_suffice(tmp_path):
    nodes = [NONE, config(mixing("Mixup", alpha=0.2)), config(mixing("CutMix")), config(ONE_OF)]
    assert label(tmp_path, *nodes) == ["none", "mixup", "cutmix", "one_of"]


def test_knobs_only_where_the_method_does_not_suffice(tmp_path):
    nodes = [
        NONE,
        config(mixing("Mixup", alpha=0.2, probability=0.5)),
        config(mixing("Mixup", alpha=1.0, probability=1.0)),
        config(mixing("CutMix", alpha=1.0, probability=0.25)),
    ]
    assert label(tmp_path, *nodes) == [
        "none", "mixup alpha=0.2 p=0.5", "mixup alpha=1 p=1", "cutmix",
    ]  # fmt: skip


def test_all_batches_are_not_shown_as_one_batch(tmp_path):
    limits = [1.0, 1, 0.5]
    nodes = [config(**{"trainer.limit_train_batches": limit}) for limit in limits]
    found = knob_labels(dict(zip("abc", settings_of(tmp_path, *nodes), strict=True)))
    assert list(found.values()) == [f"none limit_train_batches={limit}" for limit in limits]


def test_a_label_that_stands_alone_has_all_numbers_of_its_method(tmp_path):
    nodes = {
        "none": NONE,
        "cutmix alpha=1 p=0.5": config(mixing("CutMix", alpha=1.0, probability=0.5)),
        "mixup alpha=0.2 p=1": config(mixing("Mixup", alpha=0.2)),
        "one_of methods.0.alpha=0.2 methods.1.alpha=1": config(ONE_OF),
    }
    for words, node in nodes.items():
        (one,) = settings_of(tmp_path / words[:6], node)
        assert knob_labels({"x": one}) == {"x": words}


def test_a_probability_that_a_strength_replaces_is_not_shown(tmp_path):
    strong = {**mixing("CutMix", alpha=1.0), "strength": 0.2}
    found = settings_of(tmp_path, config(strong), config(mixing("CutMix", alpha=1.0)))
    assert [*knob_labels(dict(zip("ab", found, strict=True))).values()] == [
        "cutmix alpha=1 strength=0.2", "cutmix alpha=1 p=1",
    ]  # fmt: skip
    assert [*labels(dict(zip("ab", found, strict=True)), ["mixing"]).values()] == [
        "cutmix strength=0.2", "cutmix p=1",
    ]  # fmt: skip


def test_labels_of_a_sweep_have_what_else_differs(tmp_path):
    cifar10 = {"data.name": "cifar10"}
    arms = {
        "digits none lr=0.1": config(**{"optimizer.lr": 0.1}),
        "digits none lr=0.2": config(**{"optimizer.lr": 0.2}),
        "cifar10 mixup alpha=1 p=1 gate=row": config(mixing("Mixup"), **cifar10),
        "cifar10 mixup alpha=1 p=1 gate=batch": config(mixing("Mixup", gate="batch"), **cifar10),
    }
    found = settings_of(tmp_path, *arms.values())
    assert knob_labels(dict(zip(arms, found, strict=True))) == {words: words for words in arms}


def timm_default(**knobs):
    return {**mixing("Mixup", per_row=False), "partners": "reverse", **knobs}


def test_a_recipe_has_its_own_name_and_only_what_was_changed(tmp_path):
    nodes = [NONE, config(timm_default()), config(mixing("Mixup", alpha=0.2))]
    assert label(tmp_path, *nodes) == ["none", "timm_default", "mixup"]
    more = [*nodes, config(timm_default(probability=0.5))]
    found = dict(zip("abcd", settings_of(tmp_path / "more", *more), strict=True))
    assert [*labels(found, ["mixing"]).values()] == [
        "none", "timm_default", "mixup", "timm_default p=0.5",
    ]  # fmt: skip
    found = knob_labels(found)
    assert [*found.values()] == [
        "none", "timm_default", "mixup alpha=0.2 p=1", "timm_default p=0.5",
    ]  # fmt: skip


def test_a_setting_of_the_recipe_that_is_changed_takes_its_name(tmp_path):
    others = [timm_default(partners="cyclic"), mixing("Mixup", per_row=False)]
    more = timm_default()
    more["method"] = {**more["method"], "another": 1}
    nodes = [config(node) for node in (timm_default(), *others, more)]
    assert [words.split()[0] for words in label(tmp_path, *nodes)] == [
        "timm_default", "mixup", "mixup", "mixup",
    ]  # fmt: skip


def test_knobs_of_several_shapes(tmp_path):
    nodes = [
        config(mixing("Mixup", schedule="linear")),
        config(mixing("Mixup", schedule={"off_after": 0.9})),
        config(mixing("Mixup", gate={"every": 5})),
    ]
    assert label(tmp_path, *nodes) == [
        "mixup gate=row schedule=linear",
        "mixup gate=row off_after=0.9",
        "mixup every=5 schedule=constant",
    ]


def test_knobs_within_a_list_of_methods(tmp_path):
    other = {**ONE_OF, "method": {**ONE_OF["method"], "methods": [
        {"_target_": "mixlab.mixing.methods.Cutout", "alpha": 0.2}, ONE_OF["method"]["methods"][1],
    ]}}  # fmt: skip
    assert label(tmp_path, config(ONE_OF), config(other)) == [
        "one_of methods.0=mixup", "one_of methods.0=cutout",
    ]  # fmt: skip


def test_another_key_to_compare_by(tmp_path):
    nodes = [config(**{"optimizer.lr": 0.1}), config(**{"optimizer.lr": 0.01})]
    assert label(tmp_path, *nodes, by=("optimizer.lr",)) == ["lr=0.1", "lr=0.01"]
    sgd = {"_target_": "torch.optim.SGD", "lr": 0.1}
    nodes = [NONE, config(optimizer=sgd), config(optimizer=None)]
    assert label(tmp_path, *nodes, by=("optimizer",)) == [
        "optimizer=adam", "optimizer=sgd", "optimizer=none",
    ]  # fmt: skip


def test_a_choice_of_nothing_is_none_however_it_is_written():
    assert group_choice({"augmentation": None}, "augmentation") == "none"
    unset = {"augmentation._target_": None, "augmentation.flip": False}
    assert group_choice(unset, "augmentation") == "none"
    assert group_choice({"mixing.method._target_": "a.CutMix"}, "mixing") == "cutmix"
    assert group_choice({"optimizer.lr": 0.1}, "optimizer") is None


def test_what_changes_nothing_in_training_is_no_setting(tmp_path):
    other = config(
        **{
            "data.num_workers": 8,
            "trainer.enable_progress_bar": True,
            "task_name": "x",
            "tags": [1],
        }
    )
    first, second = settings_of(tmp_path, NONE, other)
    assert first == second


def test_runs_of_two_machines_are_one_arm(tmp_path):
    moved = config(**{"data.path": "/scratch/d/digits.npz"})
    moved["paths"] = {"root_dir": "/scratch", "data_dir": "/scratch/d"}
    first, second = settings_of(tmp_path, NONE, moved)
    assert first == second
    assert first["data.path"] == "<data_dir>/digits.npz"


def test_data_and_model_name_a_block(tmp_path):
    found = settings_of(
        tmp_path,
        config(**{"data.name": "digits", "model.name": "cnn"}),
        config(**{"data.name": "digits", "model.name": "cnn", "trainer.max_epochs": 20}),
        config(**{"data.name": "cifar10", "model.name": "resnet18"}),
    )
    described = describe(found, always=("data", "model"), bare=("data", "model"))
    assert [", ".join(words) for words in described] == [
        "digits, cnn, max_epochs=10", "digits, cnn, max_epochs=20", "cifar10, resnet18",
    ]  # fmt: skip


def test_equal_settings_are_told_apart_by_their_hash():
    one = {"mixing": None}
    assert labels({"aaaa": one, "bbbb": one}, ("mixing",)) == {
        "aaaa": "none (aaaa)", "bbbb": "none (bbbb)",
    }  # fmt: skip


VALUES = st.one_of(st.none(), st.booleans(), st.integers(0, 9), st.sampled_from(["a", "b.C"]))
KEYS = st.sampled_from(["alpha", "name", "_target_", "method", "gate", "0"])
NODES = st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES)), max_size=4)


@given(st.lists(NODES, min_size=1, max_size=6))
def test_labels_differ_wherever_arms_do(nodes):
    arms = {f"hash{i}": flatten({"mixing": node}) for i, node in enumerate(nodes)}
    found = labels(arms, ("mixing",))
    assert len(set(found.values())) == len(arms)
    assert list(found) == list(arms)


def test_flatten():
    node = {"a": {"b": 1, "c": [1, 2]}, "d": [{"e": 2}], "f": None}
    assert flatten(node) == {"a.b": 1, "a.c": "[1, 2]", "d.0.e": 2, "f": None}


@pytest.mark.parametrize(
    "words", [["none", "x alpha=0.2", "x alpha=1", "x alpha=10"], ["seed-2", "seed-10"], ["", "1"]]
)
def test_natural_order(words):
    assert sorted(reversed(words), key=natural) == words


def test_hostile_names_are_one_line(tmp_path):
    node = config(**{"data.name": "a\nb\x1b[0m" + "c" * 100})
    (found,) = describe(settings_of(tmp_path, node), always=("data",))
    assert found[0].startswith("a b [0mccc") and len(found[0]) == 60
