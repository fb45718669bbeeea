"""From the overrides of a multirun to a list of runs, each arm and seed once."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from omegaconf import DictConfig

from mixlab.config.mixable import check_mixable
from mixlab.errors import UserError
from mixlab.runs.identity import arm_folder, identity
from mixlab.runs.status import Status, asked_again
from mixlab.runtime import no_garbage_collection

SWEEP_KEYS = ("seeds", "arms", "seed", "retry")


@dataclass(frozen=True)
class Job(Sequence[str]):
    """A run to train: an arm at a seed. Hydra's launchers see a list of overrides.

    Attributes:
        overrides: those that the arm is composed from.
        arm: its configuration, which all seeds share; never write to it.
        own: values for this run alone, among them its seed.
        identity: of the arm.
    """

    overrides: list[str]
    arm: DictConfig
    own: Mapping[str, Any]
    folder: Path
    identity: Mapping[str, Any]

    @classmethod
    def of(cls, overrides: list[str], cfg: DictConfig, own: Mapping[str, Any]) -> Self:
        """A job of its own, in the folder of its seed.

        Raises:
            UserError: its method cannot mix the rows of its data.
        """
        check_mixable(cfg)
        known = identity(cfg)
        return cls(overrides, cfg, own, arm_folder(cfg, known) / f"seed-{own['seed']}", known)

    @property
    def seed(self) -> int:
        return self.own["seed"]

    def at(self, seed: int) -> Self:
        """The same arm at another seed."""
        folder = self.folder.with_name(f"seed-{seed}")
        return replace(self, own={**self.own, "seed": seed}, folder=folder)

    @property
    def words(self) -> list[str]:
        return [*self.overrides, *(f"{key}={override_value(x)}" for key, x in self.own.items())]

    @property
    def config(self) -> DictConfig:
        """The run's own configuration, a copy."""
        cfg = self.arm.copy()
        cfg.update(dict(self.own))
        return cfg

    def __getitem__(self, index: Any) -> Any:
        return self.words[index]

    def __len__(self) -> int:
        return len(self.words)


def merged(of_config: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """Overrides of a sweep's configuration, replaced by those of the command line."""

    def axis(override: Any) -> str:
        return "seed" if override.key_or_group == "seeds" else override.key_or_group

    replaced = {axis(override) for override in given}
    return [*(each for each in of_config if axis(each) not in replaced), *given]


def requested_seeds(overrides: Sequence[Any]) -> list[int] | None:
    """The seeds of a sweep from `seeds=5` or `seed=0,1,2`; None where neither is given."""
    found = {override.key_or_group: override for override in overrides}
    if "seeds" in found and "seed" in found:
        raise UserError("seeds= and seed= say the same thing twice; give one of them")
    if "seeds" in found:
        count = found["seeds"].value()
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise UserError(f"seeds must be a whole number above 0, got {count!r}; seeds=5, say")
        return list(range(count))
    if "seed" not in found:
        return None
    given = found["seed"]
    swept = given.is_sweep_override()
    seeds = list(given.sweep_string_iterator() if swept else [given.get_value_element_as_str()])
    for seed in seeds:
        if not seed.isdecimal() or int(seed) >= 2**32:
            raise UserError(f"seed must be an integer from 0 to 2**32 - 1, got {seed}")
    return [int(seed) for seed in seeds]


def retried(overrides: Sequence[Any]) -> tuple[Status, ...]:
    """The states that `retry=failed`, `failed,diverged`, `[failed,diverged]` or `all` names."""
    found = [override for override in overrides if override.key_or_group == "retry"]
    if not found:
        return ()
    swept = found[0].is_sweep_override()
    return asked_again(list(found[0].sweep_iterator()) if swept else found[0].value())


def arms(overrides: Sequence[Any], split: Callable[..., list[Any]]) -> list[list[str]]:
    """Overrides of each arm: the cross product of all axes but the seed, then `arms=`."""
    rest = [override for override in overrides if override.key_or_group not in SWEEP_KEYS]
    product = [list(combination) for combination in split(rest, None)[0]]
    given = [override.value() for override in overrides if override.key_or_group == "arms"]
    if not given or given[0] is None:
        return product
    if not isinstance(given[0], dict):
        raise UserError("arms maps mixing methods to their knobs: arms={none:{},mixup:{}}")
    return [[*axes, *arm] for axes in product for arm in expand(given[0])]


def expand(grid: dict[str, Any]) -> Iterator[list[str]]:
    """`{cutmix: {method.alpha: 1, probability: [0.5, 1]}}` becomes two lists of overrides.

    A method may have several sets of knobs, in a list; `/optimizer.lr` is a knob outside of mixing.
    """

    def key(knob: str) -> str:
        return knob[1:] if knob.startswith("/") else f"mixing.{knob}"

    for method, found in grid.items():
        for knobs in found if isinstance(found, list) else [found]:
            if not isinstance(knobs, dict):
                raise UserError(f"arms: {method} needs its knobs in braces, as {method}:{{}}")
            values = [value if isinstance(value, list) else [value] for value in knobs.values()]
            for combination in itertools.product(*values):
                pairs = zip(knobs, combination, strict=True)
                words = (f"{key(knob)}={override_value(value)}" for knob, value in pairs)
                yield [f"mixing={method}", *words]


def override_value(value: Any) -> str:
    """A value as Hydra's command line accepts it."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(override_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def plan(
    arm_overrides: list[list[str]],
    seed_list: list[int] | None,
    compose: Callable[[list[str]], DictConfig],
) -> list[Job]:
    """One job for each seed of each distinct arm.

    They are ordered by seed, so that an interrupted sweep has complete pairs to compare.
    """
    distinct: dict[Path, Job] = {}
    with no_garbage_collection():
        for overrides in arm_overrides:
            cfg = compose(overrides)
            job = Job.of(overrides, cfg, {"seed": cfg.seed})
            first = distinct.setdefault(job.folder.parent, job)
            if cfg.get("mixing") and job.overrides != first.overrides:  # `none` has no knobs
                own, its = words_beside(job, first), words_beside(first, job)
                print(f"{own} is the same arm as {its}; trained once", flush=True)
    if seed_list is None:
        return list(distinct.values())
    return [job.at(seed) for seed in seed_list for job in distinct.values()]


def words_beside(job: Job, other: Job) -> str:
    """The overrides that another job does not have: `convnext`, `mixing.method.alpha=1`."""
    words = [word for word in job.overrides if word not in other.overrides]
    return " ".join(word.removeprefix("mixing=") for word in words) or "the same without them"


def single_job(overrides: list[str], compose: Callable[[list[str]], DictConfig]) -> Job:
    """A job from another sweeper."""
    cfg = compose(overrides)
    return Job.of(overrides, cfg, {"seed": cfg.seed})
