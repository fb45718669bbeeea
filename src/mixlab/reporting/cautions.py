"""Words on figures that are honest but weak: trained too briefly, or judged on too few rows."""

from collections.abc import Sequence

from mixlab.reporting.pairing import Question, finished
from mixlab.runs.records import StoredRun, finite_number, mapping

LATE = 2  # a best epoch among so many last ones says that the model was still improving
SHORT = 3  # epochs: of so few, most are among the last two anyway
FEW_ROWS = 50  # of validation data; below, one row moves accuracy by more than two points
WIDE_MARGIN = 0.1  # of a metric in percent


def weak_figures(runs: Sequence[StoredRun]) -> list[str]:
    """Notes on the finished runs of a block."""
    done = finished(runs)
    cut = [note for run in done for note in (_test_rows(run), _validation_rows(run)) if note]
    return [*_of_a_search(runs), *_still_rising(done), *dict.fromkeys(cut)]


def wide_margin(question: Question) -> list[str]:
    """A word on a margin of equivalence that takes in nearly every difference."""
    if question.margin is None or question.symbol != "%" or question.margin <= WIDE_MARGIN:
        return []
    points = f"{100 * question.margin:g}"
    return [
        f"a margin of {points} points calls nearly everything equivalent; half a point is "
        "--margin 0.005"
    ]


def best_epoch(run: StoredRun) -> int | None:
    """The epoch of the chosen checkpoint, counted from 1 as people count; None without one."""
    epoch = finite_number(run.results("best").get("epoch"))
    return None if epoch is None else int(epoch) + 1


def _of_a_search(runs: Sequence[StoredRun]) -> list[str]:
    """A word on trials: the best of many is too good, whatever it is compared with."""
    names = dict.fromkeys(str(each) for run in runs if (each := run.record.get("trial_of")))
    return [
        f"these are trials of the search {name}: one seed each, and the best is chosen on "
        "validation, so no difference here is evidence; the search has printed the command that "
        "trains its best with fresh seeds"
        for name in names
    ]


def _still_rising(done: Sequence[StoredRun]) -> list[str]:
    done = [run for run in done if run.is_plain]
    late = [run for run in done if _is_late(run)]
    if 2 * len(late) <= len(done):
        return []
    return [
        f"the best epoch was among the last two in {len(late)} of {len(done)} runs: a longer "
        "training may change the order"
    ]


def _is_late(run: StoredRun) -> bool:
    best, epochs = best_epoch(run), finite_number(run.record.get("epochs"))
    return best is not None and epochs is not None and epochs > SHORT and best > epochs - LATE


def _test_rows(run: StoredRun) -> str:
    if run.record.get("evaluated"):  # later, with limits of its own, which its arm names
        return ""
    rows, total, why = _judged(run, "test")
    if not why:
        return ""
    return f"tested on {rows} of {total} test rows ({why})" if rows else f"{why} cut the test set"


def _validation_rows(run: StoredRun) -> str:
    """Few rows or a part of them, where they chose the checkpoint."""
    rows, total, why = _judged(run, "val")
    if best_epoch(run) is None:
        return ""
    if why and not rows:
        return f"{why} cut the validation set, which chose the best checkpoint"
    of, reason = (f" of {total}", f" ({why})") if why else ("", "")
    few = bool(rows and rows < FEW_ROWS)
    if not few and not why:
        return ""
    row = "row" if rows == 1 and not why else "rows"
    return (
        f"the best checkpoint was chosen on {rows}{of} validation {row}{reason}"
        f"{': too few to tell epochs apart' if few else ''}"
    )


def _judged(run: StoredRun, stage: str) -> tuple[int, int, str]:
    """Rows that were used, rows there are, and the setting that cut them; 0 is not known.

    As Lightning reads them: a limit that is an integer counts batches, one with a point is a share
    of the batches.
    """
    trainer, data = mapping(run.config.get("trainer")), mapping(run.config.get("data"))
    total = int(finite_number(mapping(run.record.get("data")).get(f"{stage}_rows")) or 0)
    name = "fast_dev_run" if trainer.get("fast_dev_run") else f"limit_{stage}_batches"
    limit, batch = trainer.get(name), int(finite_number(data.get("eval_batch_size")) or 0)
    if not isinstance(limit, int | float) or (limit == 1 and isinstance(limit, float)):
        return total, total, ""
    why = f"{name}={str(limit).lower()}"
    if not total or not batch or run.record.get("devices") != 1:
        return 0, total, why
    batches = -(-total // batch)  # of nearly equal size, the larger ones first
    kept = min(int(limit * batches) if isinstance(limit, float) else int(limit), batches)
    rows = kept * (total // batches) + min(kept, total % batches)
    return rows, total, why if rows < total else ""
