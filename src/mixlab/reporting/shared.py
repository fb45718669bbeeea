"""What all arms of a block share, in one line, and the settings in which they differ."""

from typing import Any

from mixlab.errors import counted
from mixlab.reporting.comparison import Block
from mixlab.reporting.labels import MISSING, Settings, belongs, common, natural
from mixlab.reporting.pairing import finished
from mixlab.runs.records import finite_number, mapping, one_line


def shared(block: Block) -> str:
    """As in `3 epochs, Adam, lr 0.002, batch 64, no augmentation, 16 px, 1150 training rows`."""
    every = [arm.settings for arm in block.every]
    same: Settings = {key: every[0][key] for key in common(every) if key in every[0]}
    words = [
        _epochs(same),
        _class_of(same, "optimizer"),
        _said(same, "optimizer.lr", "lr {:g}"),
        _class_of(same, "scheduler"),
        _said(same, "data.batch_size", "batch {}"),
        _augmentation(every[0]) if _is_same(every, "augmentation") else "",
        _said(same, "data.image_size", "{} px"),
        _rows(block),
        _strength(every),
    ]
    return ", ".join(filter(None, words))


def differing(block: Block) -> dict[str, Any]:
    """The keys that differ between the arms of a block."""
    every = [arm.settings for arm in block.arms]
    keys = sorted(set().union(*every) - common(every), key=natural)
    return {
        "arms": [(arm.label, arm.runs[0].arm) for arm in block.arms],
        "rows": [(key, [_setting(one.get(key, MISSING)) for one in every]) for key in keys],
    }


def _setting(value: Any) -> str:
    if value == MISSING:
        return ""
    if value is None:
        return "none"
    return one_line(str(value).lower() if isinstance(value, bool) else value, 80)


def _said(same: Settings, key: str, words: str) -> str:
    number = finite_number(same.get(key))
    whole = number is not None and number == int(number)
    return "" if number is None else words.format(int(number) if whole else number)


def _epochs(same: Settings) -> str:
    number = finite_number(same.get("trainer.max_epochs"))
    return "" if number is None else counted(int(number), "epoch")


def _class_of(same: Settings, group: str) -> str:
    target = same.get(f"{group}._target_")
    return one_line(str(target).rsplit(".", 1)[-1], 40) if target else ""


def _is_same(every: list[Settings], group: str) -> bool:
    own = [{key: value for key, value in one.items() if belongs(key, [group])} for one in every]
    return all(one == own[0] for one in own)


def _augmentation(one: Settings) -> str:
    """Its class and the knobs that do something, as in `augmentation flip, crop_padding=4`."""
    prefix = "augmentation."
    knobs: dict[str, Any] = {
        key.removeprefix(prefix): value
        for key, value in one.items()
        if key.startswith(prefix) and value and not key.endswith((".force", "_target_"))
    }
    if not _class_of(one, "augmentation") and not knobs:
        return "no augmentation"
    shown = [key if value is True else f"{key}={value}" for key, value in knobs.items()]
    return one_line(" ".join(["augmentation", _class_of(one, "augmentation"), *shown]), 120)


def _strength(every: list[Settings]) -> str:
    """That of the arms which mix, where all of them have the same."""
    mixed = [one for one in every if any(key.startswith("mixing.") for key in one)]
    found = {finite_number(one.get("mixing.strength")) for one in mixed}
    number = found.pop() if len(found) == 1 else None
    return "" if number is None else f"mixing arms: strength {number:g}"


def _rows(block: Block) -> str:
    """Rows of the data, where all finished runs recorded the same."""
    runs = [run for arm in block.every for run in finished(arm.runs)]
    found = {
        tuple(finite_number(mapping(run.record.get("data")).get(f"{stage}_rows"))
              for stage in ("train", "val", "test"))
        for run in runs
    }  # fmt: skip
    if len(found) != 1:
        return ""
    stages = zip(("training", "validation", "test"), found.pop(), strict=True)
    words = [f"{rows:.0f} {stage}" for stage, rows in stages if rows]
    return f"{', '.join(words)} rows" if words else ""
