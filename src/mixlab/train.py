"""Train one configuration: `mixlab-train`, or `train(cfg)` from anywhere."""

import signal
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from mixlab.cli import is_users
from mixlab.cli import run as run_from_command_line
from mixlab.runs.files import DiskFull, write_text

if TYPE_CHECKING:
    from mixlab.runs import Run


def train(cfg: DictConfig) -> dict[str, Any]:
    """Train the run that `cfg` describes, unless it is finished already.

    Reads neither Hydra's state, `sys.argv` nor the working directory: `cfg.paths` are absolute.

    Returns:
        The results: metrics at the checkpoint chosen on validation (`best`, None without a
        validation set) and at the last epoch (`last`).
    """
    from mixlab.runs import Run
    from mixlab.runs.start import check_data_of

    if cfg.get("seeds") is not None or cfg.get("arms") is not None:
        raise ValueError(
            "seeds= and arms= make several runs: give them with -m, mixlab-train -m ..."
        )
    cfg = cfg.copy()
    with Run.open(cfg) as run:
        cfg.paths.run_dir = str(run.folder)
        if run.settled():
            if run.record["status"] == "diverged":
                raise already(run)
            check_data_of(cfg, [run.folder])
            done = summary(run.record["results"])
            print(f"{name_of(run)}: finished already: {done}", flush=True)
            return run.record["results"]
        return supervised(run)


def supervised(run: "Run") -> dict[str, Any]:
    """Train, and leave a true status behind whatever happens."""
    from mixlab.callbacks import Diverged, Interrupted
    from mixlab.runs.run import Refused
    from mixlab.runs.start import check_start
    from mixlab.training import fit

    try:
        check_start(run.cfg)
        results = fit(run)
    except Refused as why:
        run.write(error=str(why))  # and its status stays
        raise
    except (KeyboardInterrupt, SystemExit, Interrupted) as error:
        stop = as_signal(error)
        run.end("interrupted", error=str(stop) if isinstance(stop, Interrupted) else repr(stop))
        raise stop from None
    except Diverged as error:
        run.end("diverged", error=str(error))
        raise
    except BaseException as error:
        if is_users(error) and run.is_untouched():
            run.discard()  # a slip on the command line leaves no run behind
            raise
        with suppress(DiskFull):  # what cannot be written down is said all the same
            run.end("failed", f"{type(error).__name__}: {error}", mendable=is_users(error))
            write_text(run.folder / "error.txt", "".join(traceback.format_exception(error)))
        raise
    print(f"{name_of(run)}: {summary(results)}, {run.record['seconds']:.1f} s", flush=True)
    return results


def as_signal(stop: BaseException) -> BaseException:
    """What Lightning has made an exit of, before and after training, as the signal that it was."""
    from mixlab.callbacks import Interrupted

    if isinstance(stop, SystemExit) and isinstance(stop.__context__, KeyboardInterrupt):
        return Interrupted(signal.SIGINT)
    if type(stop).__name__ == "SIGTERMException":
        return Interrupted(signal.SIGTERM)
    return stop


def already(run: "Run") -> Exception:
    """What to raise for a run that diverged before."""
    from mixlab.callbacks import Diverged

    return Diverged(
        f"{name_of(run)} diverged already: {run.record.get('error')}; "
        "rerun=true trains it afresh, beside what is there"
    )


def summary(results: dict[str, Any]) -> str:
    """`test accuracy 0.9510 (chosen on validation), 0.9490 (last)`."""
    rows = {"chosen on validation": results.get("best") or {}, "last": results.get("last") or {}}
    for metric in ("test/iou", "test/accuracy", "val/iou", "val/accuracy"):
        known = {when: row.get(metric) for when, row in rows.items()}
        found = [f"{x:.4f} ({when})" for when, x in known.items() if isinstance(x, int | float)]
        if found:
            return f"{metric.replace('/', ' ')} {', '.join(found)}"
    return "no metrics"


def name_of(run: "Run") -> str:
    """A run as people call it."""
    return "/".join(run.folder.parts[-2:])


def main() -> None:
    """The command `mixlab-train`."""
    run_from_command_line(train, "train")


if __name__ == "__main__":
    main()
