"""Several labels in one value of a table, as `cat;dog`."""

from collections.abc import Sequence

from mixlab.errors import UserError

OTHER_SEPARATORS = ";|, /+"
LIKELY_SEPARATORS = ";|,"
IN_ONE_NAME = ", "  # as in `tench, Tinca tinca`


def split_labels(values: Sequence[str], separator: str, *, where: str) -> list[list[str]]:
    """The labels of each value; none of an empty one.

    Raises:
        UserError: the separator is empty, or no value has it, which mostly means a wrong one.
    """
    if not separator or not isinstance(separator, str):
        raise UserError(f"data.label_separator must be a character as ';', got {separator!r}")
    if not any(separator in value for value in values):
        other = next((mark for mark in OTHER_SEPARATORS if any(mark in v for v in values)), None)
        example = next((value for value in values if other and other in value), "")
        found = f" ({example!r} has {other!r})" if other else ""
        raise UserError(
            f"no value in {where} has data.label_separator={separator!r}{found}; give the right "
            "one, or data.label_separator=null for one class an image"
        )
    return [[label.strip() for label in v.split(separator) if label.strip()] for v in values]


def likely_separator(values: Sequence[str]) -> str | None:
    """The mark that may separate several labels in a value; None if no value has one."""
    return next((mark for mark in LIKELY_SEPARATORS if any(mark in v for v in values)), None)


def with_separator(mark: str) -> str:
    """The setting, as a shell takes it."""
    return f"""'data.label_separator="{mark}"'"""


def lists_as_classes(class_names: Sequence[str]) -> str | None:
    """A caution where at least half of the classes look like lists of labels; else None."""
    lists = [name for name in class_names if likely_separator([name.replace(IN_ONE_NAME, " ")])]
    if 2 * len(lists) < len(class_names) or not lists:
        return None
    mark = likely_separator([lists[0]])
    return (
        f"labels as {lists[0]!r} count as one class; if images may have several labels, set "
        f"{with_separator(str(mark))}"
    )


def check_several_seen(
    several: Sequence[Sequence[int]], splits: Sequence[str], classes: Sequence[str]
) -> None:
    """Raise UserError for a class that no row to train on has."""
    pairs = zip(several, splits, strict=True)
    seen = {label for labels, split in pairs if split == "train" for label in labels}
    for number, name in enumerate(classes):
        if number not in seen:
            raise UserError(
                f"no row to train on has the label {name}, so it cannot be learned; add one, or "
                "leave it out"
            )
