"""What an evaluation leaves in the folder of its run: `evaluation.json`, and files for each entry.

`evaluation/<entry>/predictions-best.csv` has a line for each row, `confusion-best.csv` and `.png`
the confusion matrix.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mixlab.data.image_files import ImageFiles
from mixlab.data.map_style import ItemDataset
from mixlab.errors import counted
from mixlab.evaluation.checkpoints import Evaluated, Options
from mixlab.evaluation.voting import Answers
from mixlab.reporting.formatting import spreadsheet_text
from mixlab.runs.atomic import make_folder, read_json, write_bytes, write_text
from mixlab.runs.checkpoints import digest_of
from mixlab.runs.evaluations import add_entries
from mixlab.runs.folder import now
from mixlab.runs.provenance import versions

FOLDER = "evaluation"


def save(
    folder: Path,
    found: Evaluated,
    options: Options,
    checkpoints: Mapping[str, Path],
    *,
    predictions: bool,
    confusion: bool,
) -> list[str]:
    """Write what was found; returns the names of the entries.

    With views there are two entries, with their vote and without, so that they can be compared.
    """
    record = read_json(folder / "run.json")
    facts = {
        "run_ended": record.get("ended"),
        "evaluated": now(),
        "rows": found.rows,
        "data": {"sha256": found.sha256, f"{options.part}_rows": len(found.data.parts.test)},
        "checkpoints": {when: digest_of(path) for when, path in checkpoints.items()},
        "metrics": dict(found.metrics),
        "versions": versions(),
    }
    other = found.sha256 if found.sha256 != (record.get("data") or {}).get("sha256") else None
    names = entry_names(options, other)
    entries = {}
    for number, name in enumerate(names):
        views = options.views if number else None
        asked = {
            "part": options.part,
            "tta": views and {"_target_": type(views).__name__, **asdict(views)},
            "limit_test_batches": options.limit,
        }
        entries[name] = {"options": asked, **facts, **figures_of(found, options.part, bool(views))}
    for number, name in enumerate(names):
        place = folder / FOLDER / re.sub(r"[^\w.]+", "-", name)
        for when, both in found.answers.items():
            if predictions:
                make_folder(place)
                text = predictions_csv(both[number], found)
                write_text(place / f"predictions-{when}.csv", text, durable=False)
            if confusion:
                write_confusion(place, when, both[number], found, f"{name}, {when}")
    add_entries(folder, entries)
    return names


def entry_names(options: Options, other_data: str | None) -> list[str]:
    """As in `test` and `test tta=crops views=5`; `other_data` is the hash of other data."""
    plain = options.words + (f" data={other_data[:8]}" if other_data else "")
    part, _, rest = plain.partition(" ")
    voted = options.views and " ".join(filter(None, (part, options.views.words, rest)))
    return [plain, voted] if voted else [plain]


def figures_of(found: Evaluated, part: str, is_vote: bool) -> dict[str, Any]:
    """Results and accuracy of each class, by checkpoint, as `run.json` has them."""
    kind = "tta" if is_vote else part
    results: dict[str, Any] = {}
    by_class: dict[str, Any] = {"classes": list(found.data.spec.class_names)}
    for when, figures in found.figures.items():
        own = {key.partition("/")[2]: x for key, x in figures.items() if key.startswith(f"{kind}/")}
        by_class[when] = [*own.pop("class_accuracy").values()]
        results[when] = {f"{part}/{name}": value for name, value in own.items()}
    return {"results": results, "class_accuracy": by_class}


def predictions_csv(answers: Answers, found: Evaluated) -> str:
    """A line for each row: its number, its file where it has one, classes, and probabilities."""
    names = found.data.spec.class_names
    classes = [spreadsheet_text(name) for name in names]
    files = file_names(found)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    place = ["file"] if files else []
    writer.writerow(["row", *place, "true", "predicted", *(f"p({name})" for name in names)])
    columns = (answers.rows, answers.targets, answers.predicted, answers.scores)
    for row, true, predicted, scores in zip(*(each.tolist() for each in columns), strict=True):
        place = [spreadsheet_text(files[row])] if files else []
        shares = [f"{score:.6g}" for score in scores]
        writer.writerow([row, *place, classes[true], classes[predicted], *shares])
    return file.getvalue()


def file_names(found: Evaluated) -> list[str]:
    """The image file of each row of the data set; empty where there are none."""
    data = found.data.parts.test.data
    source = data.dataset if isinstance(data, ItemDataset) else None
    return [entry.name for entry in source.entries] if isinstance(source, ImageFiles) else []


def write_confusion(place: Path, when: str, answers: Answers, found: Evaluated, what: str) -> None:
    """The table and the picture of a confusion matrix."""
    from mixlab.evaluation.confusion import confusion_csv, draw_confusion  # matplotlib
    from mixlab.reporting.style import to_png

    names, counts = found.data.spec.class_names, answers.confusion
    make_folder(place)
    table, picture = (place / f"confusion-{when}.{end}" for end in ("csv", "png"))
    write_text(table, confusion_csv(counts, names), durable=False)
    right = f"{100 * int(answers.right.sum()) / len(answers.rows):.2f} % right"
    title = f"{found.data.name}, {what}: {counted(len(answers.rows), 'row')}, {right}"
    figure = draw_confusion(counts, names, title)
    write_bytes(picture, to_png(figure), durable=False)
