"""A CSV file that names images and their classes."""

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from mixlab.config.keys import nearest_name
from mixlab.data.image_files import Entry, split_files
from mixlab.data.label_lists import (
    check_several_seen,
    likely_separator,
    split_labels,
    with_separator,
)
from mixlab.data.spec import SPLITS, Datasets
from mixlab.errors import UserError

MASK_FOLDER_COLUMN = "mask_path"
SPLIT_COLUMN = "split"  # optional; a column of another name must exist
WHOLE_NUMBER = re.compile("0|-?[1-9][0-9]*")


@dataclass(frozen=True)
class Table:
    """A whole CSV file with a header; `lines` are the line numbers at which the rows end."""

    path: str
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    lines: list[int]

    def place(self, row: int, column: str) -> str:
        """The position of a value, as the start of an error message."""
        return f"{self.path}, row {row + 1} (line {self.lines[row]}), column {column}: "

    def column(self, name: str, key: str, *, may_be_empty: bool = False) -> list[str]:
        """The values of the column that `key` of the configuration names.

        Raises:
            ValueError: there is no such column, or a row has no value in it, unless it may.
        """
        found = self.spelling(name)
        if found is None:
            nearest = nearest_name(name, self.columns)
            hint = f"; did you mean {key}={nearest}?" if nearest else f"; set {key} to one of them"
            raise UserError(
                f"{self.path} has no column {name}, but {', '.join(self.columns)}{hint}"
            )
        values = [row[found] for row in self.rows]
        if "" in values and not may_be_empty:
            place = self.place(values.index(""), found)
            several = several_hint(values) if key == "data.label_column" else ""
            raise UserError(f"{place}there is no value; fill it in or remove the row{several}")
        return values

    def spelling(self, name: str) -> str | None:
        """A column's name as the file spells it, upper or lower case; None if there is none."""
        if name in self.columns:
            return name
        alike = [column for column in self.columns if column.casefold() == name.casefold()]
        return alike[0] if len(alike) == 1 else None


def several_hint(values: Sequence[str]) -> str:
    """What to set if images have several labels or none, with the mark between those of a cell."""
    setting = with_separator(likely_separator(values) or ";")
    return f"; if images may have several labels or none, set {setting}"


@dataclass(frozen=True)
class Csv:
    """The images that a CSV file lists, one per row, by paths relative to the file.

    Labels are names or whole numbers from 0 up, sorted into classes: 1, 2 and 5 are three classes
    with these names. Other columns and empty rows are ignored. A message reports images that are
    in two splits.

    Attributes:
        path: of the CSV file; its separator is a comma, semicolon or tab.
        image_column, label_column: names of columns.
        label_separator: between the labels of an image that may have several, as `;` in
            `cat;dog`; an empty value is none of them. None for one class an image.
        split_column: of the column with train, val or test; None ignores it. Without one every row
            trains, except for the `test_size`.
        mask_column: `mask` or another column of mask files; or `mask_path`, whose values are
            folders with a PNG file of the image's name. Then masks are the targets, labels are not
            read, and the classes are `class_names`.
        class_names: the classes in order, instead of the sorted labels; labels may then be their
            numbers, counted from 0.
        test_size: if no row is for testing, the share or number of the training rows that test.
        mask_values, channels, image_size, on_error: see `ImageFiles`.
    """

    path: str
    image_column: str = "image"
    label_column: str = "label"
    label_separator: str | None = None
    split_column: str | None = SPLIT_COLUMN
    mask_column: str | None = None
    mask_values: Sequence[int] | None = None
    class_names: Sequence[str] | None = None
    test_size: float = 0
    channels: int = 3
    image_size: int | None = None
    on_error: str = "raise"

    def splits(self) -> Datasets:
        """Read the file and the header of every image.

        Raises:
            ValueError: naming file, row and column, if something cannot be used.
        """
        table = read_table(Path(self.path).expanduser())
        names = table.column(self.image_column, "data.image_column")
        splits = split_of(table, self.split_column)
        rows, classes = self.rows(table, names, splits)
        report_duplicates(table.path, names, splits)
        entries: dict[str, list[Entry]] = {}
        for row, split in zip(rows, splits, strict=True):
            entries.setdefault(split, []).append(row)
        return split_files(
            entries,
            classes,
            where=f"{self.path} has rows to test on",
            test_size=self.test_size,
            root=os.path.dirname(table.path) or ".",
            mask_values=self.mask_values,
            channels=self.channels,
            image_size=self.image_size,
            on_error=self.on_error,
        )

    def rows(
        self, table: Table, names: list[str], splits: list[str]
    ) -> tuple[list[Entry], list[str]]:
        """The images `names` in order, with their targets, and the names of the classes."""
        places = [table.place(row, self.image_column) for row in range(len(names))]
        rows = [Entry(name, 0, place) for name, place in zip(names, places, strict=True)]
        if self.mask_column is not None:
            classes = mask_classes(self.class_names)
            return each_with(rows, "mask", mask_files(table, self.mask_column, names)), classes
        if self.label_separator is not None:
            several, classes = several_numbered(
                table, self.label_column, self.label_separator, self.class_names
            )
            check_several_seen(several, splits, classes)
            return each_with(rows, "several", several), classes
        labels, classes = numbered(table, self.label_column, self.class_names)
        check_seen(table, labels, splits, self.label_column)
        return each_with(rows, "label", labels), classes


def each_with(rows: list[Entry], field: str, values: Sequence[Any]) -> list[Entry]:
    """The rows with another value of a field each."""
    return [row._replace(**{field: value}) for row, value in zip(rows, values, strict=True)]


def read_table(path: Path) -> Table:
    """Read a CSV file with a header; rows without any value, as spreadsheets leave, are ignored.

    Raises:
        ValueError: there is no such file, it is not a CSV file, or it has no row.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            separator = max(",;\t", key=header.count)
            reader = csv.DictReader(file, delimiter=separator, restkey="", restval="")
            read = [
                ({str(k).strip(): str(v).strip() for k, v in row.items() if k}, reader.line_num)
                for row in reader
            ]
            columns = tuple(name.strip() for name in reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path} is not a readable CSV file ({why}); set data.path to one"
        ) from None
    read = [(row, line) for row, line in read if any(row.values())]
    if not read:
        raise UserError(f"{path} has no rows; it needs a header, and a row for each image")
    return Table(str(path), columns, [row for row, _ in read], [line for _, line in read])


def numbered(
    table: Table, column: str, class_names: Sequence[str] | None
) -> tuple[list[int], list[str]]:
    """The label of each row as a number, and the names of the classes."""
    values = table.column(column, "data.label_column")
    names = [str(name) for name in class_names or ()]
    if all(map(WHOLE_NUMBER.fullmatch, values)) and not {*values} <= {*names}:
        labels = [int(value) for value in values]
        check_range(table, column, labels, len(names) or None)
        if names:
            return labels, names
        numbers = sorted({*labels})
        return [numbers.index(label) for label in labels], [str(number) for number in numbers]
    names = names or sorted({*values})
    number_of = {name: number for number, name in enumerate(names)}
    for row, value in enumerate(values):
        if value not in number_of:
            nearest = nearest_name(value, names)
            hint = f"; did you mean {nearest}?" if nearest else ""
            hint = several_hint([value]) if likely_separator([value]) else hint
            place = table.place(row, column)
            raise UserError(f"{place}{value!r} is not in data.class_names{hint}")
    return [number_of[value] for value in values], names


def several_numbered(
    table: Table, column: str, separator: str, class_names: Sequence[str] | None
) -> tuple[list[tuple[int, ...]], list[str]]:
    """The labels of each row as numbers of classes, and the names of the classes."""
    values = table.column(column, "data.label_column", may_be_empty=True)
    lists = split_labels(values, separator, where=f"column {column} of {table.path}")
    names = [str(name) for name in class_names or ()] or sorted({each for x in lists for each in x})
    for row, labels in enumerate(lists):
        for label in labels:
            if label not in names:
                nearest = nearest_name(label, names)
                hint = f"; did you mean {nearest}?" if nearest else ""
                place = table.place(row, column)
                raise UserError(f"{place}{label!r} is not in data.class_names{hint}")
    return [tuple(sorted(names.index(each) for each in labels)) for labels in lists], names


def check_range(table: Table, column: str, labels: list[int], num_classes: int | None) -> None:
    """Raise ValueError for a number below 0, or beyond the named classes."""
    row = labels.index(min(labels)) if min(labels) < 0 else labels.index(max(labels))
    number = labels[row]
    if number < 0 or (num_classes is not None and number >= num_classes):
        why = f"is not below {num_classes}, the number of names" if number > 0 else "is below 0"
        raise UserError(f"{table.place(row, column)}{number} {why}; labels count from 0")


def mask_classes(class_names: Sequence[str] | None) -> list[str]:
    """The classes of masks; raises ValueError if they have no names."""
    if not class_names:
        raise UserError(
            "masks do not say which classes they have; name them, as in "
            "data.class_names=[background,leaf]"
        )
    return [str(name) for name in class_names]


def mask_files(table: Table, column: str, names: Sequence[str]) -> list[str]:
    """The mask's file of each row, relative to the CSV file (in a folder, `a.png` for `a.jpg`)."""
    values = table.column(column, "data.mask_column")
    if column != MASK_FOLDER_COLUMN:
        return values
    return [
        os.path.join(folder, os.path.basename(n)) for folder, n in zip(values, names, strict=True)
    ]


def split_of(table: Table, column: str | None) -> list[str]:
    """The split of each row; all rows train if there is no column for it."""
    if column is None or (column == SPLIT_COLUMN and table.spelling(column) is None):
        return ["train"] * len(table.rows)
    values = table.column(column, "data.split_column")
    for row, value in enumerate(values):
        if value not in SPLITS:
            raise UserError(
                f"{table.place(row, column)}{value!r} is none of {', '.join(SPLITS)}; correct it, "
                "or ignore this column with data.split_column=null"
            )
    if "train" not in values:
        raise UserError(f"{table.path} has no row to train on in its column {column}")
    return values


def report_duplicates(path: str, names: Sequence[str], splits: Sequence[str]) -> None:
    """Say once that images are in two splits, since their scores then measure memorization."""
    splits_of: dict[str, set[str]] = {}
    for name, split in zip(names, splits, strict=True):
        splits_of.setdefault(os.path.normpath(name), set()).add(split)
    duplicates = [name for name, found in splits_of.items() if len(found) > 1]
    if duplicates:
        where = " and ".join(sorted(splits_of[duplicates[0]], key=SPLITS.index))
        rank_zero_only(print)(
            f"{path}: {len(duplicates)} of {len(splits_of)} images are in two splits, the first "
            f"{duplicates[0]} in {where}; scores on them do not measure generalization",
            flush=True,
        )


def check_seen(table: Table, labels: list[int], splits: list[str], column: str) -> None:
    """Raise ValueError for a class that no row to train on has."""
    seen = {label for label, split in zip(labels, splits, strict=True) if split == "train"}
    for row, label in enumerate(labels):
        if label not in seen:
            value = table.rows[row][table.spelling(column) or column]
            raise UserError(
                f"{table.place(row, column)}no row to train on has the label {value}, so it cannot "
                f"be learned; add one, or remove this row from {splits[row]}"
            )
