"""A study of Optuna's in the folder of its search: opened, continued, asked and told."""

import inspect
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlab.errors import UserError
from mixlab.runs.records import shown_path
from mixlab.sweeps.search_settings import SearchSettings
from mixlab.sweeps.space import Axis

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

NOT_ALWAYS = (
    "seed",
    "constant_liar",
    "n_startup_trials",
    "n_warmup_steps",
)  # not all kinds take them
MISSING_OPTUNA = "hparams_search and hydra/sweeper=optuna need: pip install 'mixlab[optuna]'"


def check_optuna() -> None:
    """Raise UserError if Optuna is not installed, or is one of 2022."""
    try:
        from optuna import __version__
    except ImportError:
        raise UserError(MISSING_OPTUNA) from None
    if int(__version__.split(".")[0]) < 4:
        raise UserError(
            f"the search needs Optuna 4 or later, and {__version__} is installed (by "
            "hydra-optuna-sweeper?); pip install -U 'mixlab[optuna]'"
        )


def open_study(settings: SearchSettings, folder: Path, asked: Mapping[str, Any]) -> "Study":
    """The study of a search, as it was left.

    Args:
        asked: what makes its trials comparable; it must be what the study began with.

    Raises:
        UserError: it began with something else, or its storage cannot be used.
    """
    import optuna
    import sqlalchemy.exc

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name = settings.study_name or folder.name
    url = settings.storage or f"sqlite:///{folder / 'study.db'}"
    try:
        study = optuna.create_study(
            storage=url, study_name=name, load_if_exists=True, pruner=build_pruner(settings.pruner),
            direction=settings.direction,  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        why = str(error).splitlines()[0]
        raise UserError(
            f"{shown(url)} holds no study ({why}); move it away, or set hydra.sweeper.storage"
        ) from None
    before = study.user_attrs.get("asked")
    if before is None:
        study.set_user_attr("asked", dict(asked))
    elif differs := [key for key in asked if before.get(key) != json.loads(json.dumps(asked[key]))]:
        raise UserError(
            f"{shown_path(folder)} has a search with another {' and '.join(differs)}; "
            "give this one a name of its own, task_name=..."
        )
    return study


def shown(url: str) -> str:
    """A storage's address without a password."""
    scheme, _, rest = url.partition("://")
    return rest.lstrip("/") and f"{scheme}://{rest.rpartition('@')[2]}"


def next_trial(study: "Study", settings: SearchSettings) -> "Trial":
    """Ask for a trial. What it tries depends on its number and on the trials before it alone."""
    from mixlab.mixing.stream import Address, Purpose, stream

    number = len(study.get_trials(deepcopy=False))
    draws = stream(Address(settings.seed, batch=number), Purpose.SEARCH)
    study.sampler = build_sampler(settings.sampler, int(draws.integers(2**31)))
    return study.ask()


def in_flight(study: "Study") -> list["Trial"]:
    """The trials that a killed search was training."""
    from optuna.trial import Trial, TrialState

    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [Trial(study, each._trial_id) for each in running]


def told_trials(study: "Study") -> list["FrozenTrial"]:
    """The trials that have ended, in order."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def ranked(study: "Study") -> list["FrozenTrial"]:
    """The trials with a result, the best first."""
    from optuna.trial import TrialState

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = 1 if study.direction.name == "MINIMIZE" else -1
    return sorted(done, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def build_sampler(node: Mapping[str, Any], seed: int) -> Any:
    """A sampler of Optuna's."""
    import optuna

    return built(node, optuna.samplers, "sampler", seed=seed)


def build_pruner(node: Mapping[str, Any] | None) -> Any:
    """A pruner of Optuna's; None prunes nothing."""
    import optuna

    return built(node, optuna.pruners, "pruner") if node else optuna.pruners.NopPruner()


def built(node: Mapping[str, Any], module: Any, name: str, **more: Any) -> Any:
    """What a node names in `module`, with its arguments."""
    kwargs = {**node, **more}
    kind = str(kwargs.pop("_target_", None)).rpartition(".")[2]
    try:
        found = getattr(module, kind)
        takes = inspect.signature(found).parameters
        return found(
            **{key: x for key, x in kwargs.items() if key in takes or key not in NOT_ALWAYS}
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"hydra.sweeper.{name}: {error}") from None


def asked_of(
    axes: Sequence[Axis], metric: str, settings: SearchSettings, base: str
) -> dict[str, Any]:
    """What makes the trials of a study comparable."""
    from optuna.distributions import distribution_to_json

    space = {axis.key: json.loads(distribution_to_json(axis.values)) for axis in axes}
    return {
        "space": space, "metric": metric, "direction": settings.direction,
        "seed": settings.seed, "fixed settings": base,
    }  # fmt: skip
