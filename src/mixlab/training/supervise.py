"""Train one run, and record how it ended whatever happens."""

import signal
import traceback
from contextlib import suppress
from typing import Any

from omegaconf import DictConfig

from mixlab.errors import UserError, is_user_error
from mixlab.runs import Run
from mixlab.runs.atomic import CannotWrite, write_text
from mixlab.runs.folder import keep_stale
from mixlab.runs.records import shown_path
from mixlab.runs.status import Action, Status, other_code, results_line, run_name


def train(cfg: DictConfig) -> dict[str, Any]:
    """Train the run that `cfg` describes, unless it is finished already.

    Independent of Hydra's state, `sys.argv` and the working directory: `cfg.paths` are absolute.

    Returns:
        The results: metrics at the checkpoint chosen on validation (`best`, None without a
        validation set) and at the last epoch (`last`).
    """
    from mixlab.callbacks import Diverged
    from mixlab.training.resume import check_data_of

    if cfg.get("seeds") is not None or cfg.get("arms") is not None:
        raise UserError(
            "seeds= and arms= make several runs: give them with -m, mixlab-train -m ..."
        )
    cfg = cfg.copy()
    with Run.open(cfg) as run:
        cfg.paths.run_dir = str(run.folder)
        changed = run.changed()
        match run.next_action():
            case Action.ASK:
                raise UserError(other_code([run.folder], changed))
            case Action.LEAVE:
                raise Diverged(
                    f"{run_name(run.folder)} diverged already: {run.record.get('error')}; "
                    "existing=new archives it and trains it again"
                )
            case Action.SKIP:
                check_data_of(cfg, [run.folder])
                if changed:
                    keep_stale(run.folder, changed)
                done = results_line(run.record["results"])
                print(f"{run_name(run.folder)}: finished already: {done}", flush=True)
                return run.record["results"]
            case Action.RESTART:
                run.clear()
        return supervised(run)


def supervised(run: Run) -> dict[str, Any]:
    """Train, and record how it ended whatever happens."""
    from mixlab.callbacks import Diverged, Interrupted
    from mixlab.callbacks.trial_reports import Pruned
    from mixlab.runs.folder import Refused
    from mixlab.training.fit import fit
    from mixlab.training.resume import check_start

    try:
        check_start(run.cfg)
        results = fit(run)
    except Refused as why:
        run.write(error=str(why))  # its status stays
        raise
    except (KeyboardInterrupt, SystemExit, Interrupted) as error:
        stop = as_signal(error)
        run.end(
            Status.INTERRUPTED, error=str(stop) if isinstance(stop, Interrupted) else repr(stop)
        )
        raise stop from None
    except Diverged as error:
        run.end(Status.DIVERGED, error=str(error))
        raise
    except Pruned as error:
        run.end(Status.PRUNED, error=str(error))
        raise
    except BaseException as error:
        if is_user_error(error) and run.is_untouched():
            run.discard()  # a mistake on the command line leaves no run behind
            raise
        with suppress(CannotWrite):  # the error is printed in any case
            run.end(
                Status.FAILED, f"{type(error).__name__}: {error}", user_error=is_user_error(error)
            )
            write_text(run.folder / "error.txt", "".join(traceback.format_exception(error)))
        raise
    print(
        f"{run_name(run.folder)}: {results_line(results)}, {run.record['seconds']:.1f} s\n"
        f"next: mixlab-evaluate run={shown_path(run.folder)}",
        flush=True,
    )
    return results


def as_signal(stop: BaseException) -> BaseException:
    """The signal that Lightning turned into an exit, before or after training."""
    from mixlab.callbacks import Interrupted

    if isinstance(stop, SystemExit) and isinstance(stop.__context__, KeyboardInterrupt):
        return Interrupted(signal.SIGINT)
    if type(stop).__name__ == "SIGTERMException":
        return Interrupted(signal.SIGTERM)
    return stop
