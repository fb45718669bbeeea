"""What an arm is, and the shortest labels that distinguish arms."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from mixlab.runs.class_names import config_name
from mixlab.runs.identity import (
    HASHED,
    NOT_HASHED_OF_DATA,
    acting,
    of_mixing,
    of_trainer,
    without,
)
from mixlab.runs.recipes import Settings, flatten, recipe_of
from mixlab.runs.records import StoredRun, finite_number, mapping, one_line

GROUPS = (*HASHED, "trainer", "callbacks", "ckpt_path", "lr_base_size", "evaluation")
BARE = ("data", "model", "mixing", "evaluation")  # named by their choice alone: `digits cnn mixup`
MISSING = "(absent)"


def settings(run: StoredRun) -> Settings:
    """The settings of a run that was found on disk."""
    found = settings_of(run.config, run.record.get("watching") or ())
    return {**found, "evaluation.name": run.evaluation} if run.evaluation else found


def settings_of(config: Mapping[str, Any], watching: Collection[str] = ()) -> Settings:
    """The flattened part of a run's configuration that changes what is trained.

    Paths are replaced by their names, so that runs of two machines are arms of one comparison.

    Args:
        watching: names of callbacks that do not change it.
    """
    data = config.get("data")
    kept: dict[str, Any] = {group: config.get(group) for group in HASHED}
    if isinstance(data, Mapping):
        kept["data"] = without(data, NOT_HASHED_OF_DATA)
    kept["mixing"] = _acting_mixing(config.get("mixing"))
    kept["trainer"] = of_trainer(mapping(config.get("trainer")))
    kept["callbacks"] = acting(mapping(config.get("callbacks")), watching)
    kept["ckpt_path"] = config.get("ckpt_path")
    kept |= {"lr_base_size": size} if (size := config.get("lr_base_size")) else {}
    paths = {name: str(path) for name, path in mapping(config.get("paths")).items() if path}
    longest_first = sorted(paths.items(), key=lambda item: -len(item[1]))
    return {key: _named(value, longest_first) for key, value in flatten(kept).items()}


def _acting_mixing(node: Any) -> Any:
    """The mixing's node; a strength sets the probability, so the configured one was not used."""
    kept = of_mixing(node)
    if isinstance(kept, Mapping) and kept.get("strength") is not None:
        return without(kept, ["probability"])
    return kept


def common(every: Sequence[Settings]) -> set[str]:
    """Keys that have one value in all of them."""
    keys = set().union(*every)
    return {key for key in keys if len({one.get(key, MISSING) for one in every}) == 1}


def belongs(key: str, groups: Iterable[str]) -> bool:
    """Whether a dotted key is one of `groups` or below one."""
    return any(key == group or key.startswith(f"{group}.") for group in groups)


def describe(
    every: Sequence[Settings],
    *,
    always: Collection[str] = (),
    bare: Collection[str] = BARE,
    named: Sequence[Settings] | None = None,
) -> list[list[str]]:
    """Describe each of `every` in as few words as distinguish it from the others.

    First the choice of a group ("mixup") if choices differ; then, among those that are still
    equal, each key that differs ("alpha=0.2").

    Args:
        every: the settings to distinguish.
        always: groups to name even if all are equal.
        bare: groups whose choice is shown without the group's name.
        named: the settings that give the choices, where they are more than are distinguished.
    """
    words: list[list[str]] = [[] for _ in every]
    cells = [list(range(len(every)))]
    for group in GROUPS:
        names = [group_choice(one, group) for one in named or every]
        for cell in cells:
            if group in always or len({names[i] for i in cell}) > 1:
                for i in cell:
                    name = names[i]
                    if name is not None:
                        words[i].append(name if group in bare else f"{group}={name}")
        cells = [
            [i for i in cell if names[i] == name]
            for cell in cells
            for name in dict.fromkeys(names[i] for i in cell)
        ]
    for cell in cells:
        for i, details in zip(cell, _details([beyond(every[i]) for i in cell]), strict=True):
            words[i] += details
    return words


def labels(arms: Mapping[str, Settings], by: Collection[str]) -> dict[str, str]:
    """A label for each arm from its keys below `by`, and its hash if that is not unique."""
    compared = [
        {key: value for key, value in one.items() if belongs(key, by)} for one in arms.values()
    ]
    described = describe(compared, always=[group for group in by if group in BARE])
    short = [" ".join(label) or "the only arm" for label in described]
    counts = Counter(short)
    return {
        arm: label if counts[label] == 1 else f"{label} ({one_line(arm, 12)})"
        for arm, label in zip(arms, short, strict=True)
    }


def knob_labels(arms: Mapping[str, Settings]) -> dict[str, str]:
    """`cutmix alpha=1 p=0.5`: each arm's method with all of its numbers, then what else differs.

    The numbers are there even if all arms share them, as the label also stands alone. Those that a
    recipe stands for are not: `deit p=0.5`.
    """
    found = {}
    numbers = [
        {
            key: value
            for key, value in one.items()
            if belongs(key, ["mixing"]) and finite_number(value) is not None
        }
        for one in arms.values()
    ]
    others = [
        {key: value for key, value in one.items() if key not in own}
        for one, own in zip(arms.values(), numbers, strict=True)
    ]
    described = describe(others, always=["mixing"], named=list(arms.values()))
    for (arm, one), own, words in zip(arms.items(), numbers, described, strict=True):
        choice, known = group_choice(one, "mixing"), beyond(one)
        shown = {key: value for key, value in own.items() if key in known}
        place = words.index(choice) + 1 if choice in words else 0
        found[arm] = " ".join([*words[:place], *_details([shown, {}])[0], *words[place:]])
    return found


def group_choice(one: Settings, group: str) -> str | None:
    """The choice of a group: its recipe, name, method's class or class; None if not known."""
    if group == "mixing" and (recipe := recipe_of(one)):
        return recipe.name
    keys = (f"{group}.name", f"{group}.method._target_", f"{group}._target_")
    for key in keys:
        if one.get(key) is not None:
            return class_word(one[key]) if key.endswith("_target_") else one_line(one[key], 60)
    return "none" if any(key in one for key in (group, *keys)) else None


def beyond(one: Settings) -> Settings:
    """The settings that the name of a recipe does not tell; all of them where there is none."""
    recipe = recipe_of(one)
    return one if recipe is None else {k: v for k, v in one.items() if not recipe.says(k, v)}


def class_word(target: Any) -> str:
    """A class as configurations name it; it may be any text."""
    return one_line(config_name(str(target)), 60)


def natural(text: str) -> list[Any]:
    """A key that sorts alpha=0.2 before alpha=1 and seed-2 before seed-10."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(1, float(part), "") if i % 2 else (0, 0.0, part) for i, part in enumerate(parts)]


def _details(every: Sequence[Settings]) -> list[list[str]]:
    """`key=value` for each key that differs, under its shortest unique name."""
    differing = sorted(set().union(*every) - common(every), key=natural)
    short = _short_names(differing)
    return [[f"{short[key]}={_value(one[key], key)}" for key in differing if key in one]
            for one in every]  # fmt: skip


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    parts = {key: [part for part in key.split(".") if part != "_target_"] for key in keys}
    ends = Counter(".".join(part[-n:]) for part in parts.values() for n in range(1, len(part) + 1))
    names = {}
    for key, part in parts.items():
        tails = (".".join(part[-n:]) for n in range(1, len(part) + 1) if not part[-n].isdigit())
        name = one_line(next((tail for tail in tails if ends[tail] == 1), key), 60)
        names[key] = "p" if name == "probability" and not ends["p"] else name
    return names


def _value(value: Any, key: str) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        # Lightning reads 1 as one batch and 1.0 as all of them.
        return str(value) if key.endswith(("_batches", "_interval")) else f"{value:g}"
    return class_word(value) if key.endswith("_target_") else one_line(value, 40)


def _named(value: Any, paths: Iterable[tuple[str, str]]) -> Any:
    """A value that begins with one of the run's own paths, with that path's name in its place."""
    if isinstance(value, str):
        for name, path in paths:
            if value == path or value.startswith(f"{path}/"):
                return f"<{name}>{value[len(path) :]}"
    return value
