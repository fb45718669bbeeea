"""Train one run, and record how it ended whatever happens."""

import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from omegaconf import DictConfig

from mixlab.errors import UserError, is_user_error
from mixlab.runs import Run
from mixlab.runs.atomic import CannotWrite, write_text
from mixlab.runs.folder import keep_stale
from mixlab.runs.records import shown_path
from mixlab.runs.status import Action, Status, other_code, results_line, run_name
from mixlab.runtime import no_garbage_collection
from mixlab.training.ranks import check_alone, launched


def train(cfg: DictConfig) -> dict[str, Any]:
    """Train the run that `cfg` describes, unless it is finished already.

    Independent of Hydra's state, `sys.argv` and the working directory: `cfg.paths` are absolute.

    Returns:
        The results: metrics at the checkpoint chosen on validation (`best`, None without a
        validation set) and at the last epoch (`last`). They are the same in all ranks of a launch.
    """
    if cfg.get("seeds") is not None or cfg.get("arms") is not None:
        raise UserError(
            "seeds= and arms= make several runs: give them with -m, mixlab-train -m ..."
        )
    if (launch := launched()) is None:
        check_alone(cfg)
        return open_and_train(cfg)
    from mixlab.training.together import train_together

    return train_together(cfg, launch, open_and_train)


def open_and_train(
    cfg: DictConfig, begin: Callable[[Run], None] = lambda run: None
) -> dict[str, Any]:
    """Decide what to do about the run, as the one process that may write its folder.

    Args:
        begin: called with the run before it is trained.
    """
    with no_garbage_collection():
        from mixlab.callbacks import Diverged
        from mixlab.training.resume import check_data_of

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
                done = results_line(run.record["results"], run.record.get("monitor"))
                print(f"{run_name(run.folder)}: finished already: {done}", flush=True)
                return run.record["results"]
            case Action.RESTART:
                run.clear()
        return supervised(run, begin)


def supervised(run: Run, begin: Callable[[Run], None]) -> dict[str, Any]:
    """Train, and record how it ended whatever happens."""
    from mixlab.callbacks import Diverged, Interrupted
    from mixlab.callbacks.stopping import as_signal
    from mixlab.callbacks.trial_reports import Pruned
    from mixlab.runs.folder import Refused
    from mixlab.training.fit import fit
    from mixlab.training.resume import check_start

    try:
        check_start(run.cfg)
        begin(run)
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
            for_users = is_user_error(error)
            said = str(error) if for_users else f"{type(error).__name__}: {error}"
            run.end(Status.FAILED, said, user_error=for_users)
            write_text(run.folder / "error.txt", "".join(traceback.format_exception(error)))
        raise
    line = results_line(results, run.record.get("monitor"))
    print(f"{run_name(run.folder)}: {line}, {run.record['seconds']:.1f} s", flush=True)
    if (part := evaluable(results)) is not None:
        print(f"next: mixlab-evaluate run={shown_path(run.folder)}{part}", flush=True)
    return results


def evaluable(results: dict[str, Any]) -> str | None:
    """What to add to `mixlab-evaluate` for rows that the data have, None where there are none."""
    stages = {name.partition("/")[0] for found in results.values() for name in found or ()}
    return "" if "test" in stages else " part=val" if "val" in stages else None
