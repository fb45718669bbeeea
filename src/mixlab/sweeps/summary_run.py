"""One W&B run for a whole sweep: its comparison as a table, its page and its figure."""

import io
import logging
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from mixlab.config.build import build, plain
from mixlab.config.secrets import without_paths
from mixlab.runs.identity import file_name
from mixlab.runs.provenance import versions
from mixlab.runs.records import Found, StoredRun, find, shown_path
from mixlab.runs.status import Status
from mixlab.sweeps.grid import Job
from mixlab.sweeps.sweep import sweep_folder

if TYPE_CHECKING:  # the launcher starts quicker without Lightning
    from mixlab.loggers import WandbRun


def send_summary(jobs: Sequence[Job], config: DictConfig, again: bool = True) -> None:
    """Log the summary of a sweep whose runs log to W&B. What fails costs a warning, no result.

    Args:
        again: whether to do so if there is one already.
    """
    arm: dict[str, Any] = plain(jobs[0].arm)
    nodes = (node for node in (arm.get("logger") or {}).values() if node)
    node = next((n for n in nodes if n.get("_target_") == "mixlab.loggers.WandbRun"), None)
    folder = sweep_folder(config)
    if node is None or (not again and (folder / "wandb" / "id").is_file()):
        return
    try:
        found = without_places(find([folder]), arm["paths"])
        if any(run.status == Status.FINISHED for run in found.runs):
            logger = build(
                node, folder=str(folder), job_type="sweep", name=f"sweep {folder.name}",
                group="sweeps",
            )  # fmt: skip
            tell_summary(logger, found, folder, arm["paths"])
    except Exception as error:  # the runs are trained, whatever becomes of their summary
        logging.getLogger(__name__).warning(
            "W&B has no summary of the sweep (%s)", " ".join(str(error).split())
        )


def tell_summary(logger: "WandbRun", found: Found, folder: Path, paths: Mapping[str, Any]) -> None:
    """Log the table, the figure and the page, and all of the report's files as an artifact."""
    from mixlab.reporting.comparison import compare_runs, headline_metric
    from mixlab.reporting.export import PAGE, comparison_rows, report_files
    from mixlab.reporting.pairing import Question
    from mixlab.training.banner import wandb_words

    comparison = compare_runs(found, Question(headline_metric(found.runs)))
    files = report_files(comparison, ["mixlab-compare", shown_path(folder)])
    files[PAGE] = relative_paths(files[PAGE].decode(), paths).encode()
    logger.log_hyperparams({
        "sweep": folder.name,
        "metric": comparison.question.metric,
        "arms": [arm.label for block in comparison.blocks for arm in block.arms],
        "runs": comparison.statuses,
        "versions": versions(),
    })  # fmt: skip
    logger.tell(log_media(files, comparison_rows(comparison)))
    logger.tell(log_files(files, file_name(folder.name)))
    if not logger.given_up:
        print(f"W&B has a summary of the sweep: {wandb_words(logger)}", flush=True)
    logger.close(failed=False)


def without_places(found: Found, paths: Mapping[str, Any]) -> Found:
    """The runs without absolute paths in what they say of themselves; their folders are real."""

    def cleared(run: StoredRun) -> StoredRun:
        return replace(run, record=without_paths(run.record, paths))

    return replace(found, runs=tuple(map(cleared, found.runs)))


def relative_paths(page: str, paths: Mapping[str, Any]) -> str:
    """A page without the run's own absolute paths."""
    page = page.replace(f"{escape(str(paths.get('root_dir')))}/", "")
    for name, path in sorted(paths.items(), key=lambda item: -len(str(item[1]))):
        if path:
            page = page.replace(escape(str(path)), escape(f"<{name}>"))
    return page


def log_media(
    files: Mapping[str, bytes], rows: Sequence[Mapping[str, Any]]
) -> Callable[[Any], None]:
    """What W&B shows: the table, the page, and the figure if there is one."""

    def call(run: Any) -> None:
        import wandb
        from PIL import Image

        from mixlab.reporting.export import FIGURE, PAGE

        columns: Any = list(dict.fromkeys(key for row in rows for key in row))
        cells: Any = [[cell(row.get(key)) for key in columns] for row in rows]
        shown: dict[str, Any] = {
            "comparison": wandb.Table(columns=columns, data=cells),
            "report": wandb.Html(files[PAGE].decode(), inject=False),
        }
        if FIGURE in files:
            shown["figure"] = wandb.Image(Image.open(io.BytesIO(files[FIGURE])))
        run.log(shown)

    return call


def log_files(files: Mapping[str, bytes], name: str) -> Callable[[Any], None]:
    """The report's files as an artifact of W&B."""

    def call(run: Any) -> None:
        import wandb

        artifact = wandb.Artifact(f"report-{name}", type="report")
        with tempfile.TemporaryDirectory() as folder:
            for file, content in files.items():
                (Path(folder) / file).write_bytes(content)
                artifact.add_file(str(Path(folder) / file))
            run.log_artifact(artifact)

    return call


def cell(value: Any) -> Any:
    """A table of W&B knows no number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
