"""From the overrides of a multirun to a list of runs, each arm and seed once."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.runs.files import read_json, write_json
from mixlab.runs.identity import arm_hash, file_name, run_folder
from mixlab.runs.provenance import changed_files, code_hashes
from mixlab.runs.run import ANOTHER, is_running, other_code, standing

OURS = ("seeds", "arms", "seed")


@dataclass(frozen=True)
class Job:
    """A run to be made: what it is composed from, and what came of that."""

    overrides: list[str]
    config: DictConfig

    @property
    def folder(self) -> Path:
        return run_folder(self.config)


def merged(of_config: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """Overrides of a sweep's configuration, then the command line's, which replace those."""

    def axis(override: Any) -> str:
        return "seed" if override.key_or_group == "seeds" else override.key_or_group

    replaced = {axis(override) for override in given}
    return [*(each for each in of_config if axis(each) not in replaced), *given]


def seeds(overrides: Sequence[Any]) -> list[int] | None:
    """The seeds of a sweep from `seeds=5` or `seed=0,1,2`; None where neither is given."""
    found = {override.key_or_group: override for override in overrides}
    if "seeds" in found and "seed" in found:
        raise ValueError("seeds= and seed= say the same thing twice; give one of them")
    if "seeds" in found:
        count = found["seeds"].value()
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(f"seeds must be a whole number above 0, got {count!r}; seeds=5, say")
        return list(range(count))
    if "seed" not in found:
        return None
    given = found["seed"]
    swept = given.is_sweep_override()
    words = given.sweep_string_iterator() if swept else [given.get_value_element_as_str()]
    return [whole_number(word) for word in words]


def whole_number(word: str) -> int:
    """A seed."""
    if not word.isdecimal() or int(word) >= 2**32:
        raise ValueError(f"seed must be an integer from 0 to 2**32 - 1, got {word}")
    return int(word)


def arms(overrides: Sequence[Any], split: Callable[..., list[Any]]) -> list[list[str]]:
    """Overrides of each arm: the cross product of all axes but the seed, then `arms=`."""
    rest = [override for override in overrides if override.key_or_group not in OURS]
    product = [list(combination) for combination in split(rest, None)[0]]
    given = [override.value() for override in overrides if override.key_or_group == "arms"]
    if not given or given[0] is None:
        return product
    if not isinstance(given[0], dict):
        raise ValueError("arms maps mixing methods to their knobs: arms={none:{},mixup:{}}")
    return [[*axes, *arm] for axes in product for arm in expand(given[0])]


def expand(grid: dict[str, Any]) -> Iterator[list[str]]:
    """`{cutmix: {method.alpha: 1, probability: [0.5, 1]}}` becomes two lists of overrides.

    A method may have several sets of knobs, in a list; `/optimizer.lr` is a knob outside of mixing.
    """
    for method, found in grid.items():
        for knobs in found if isinstance(found, list) else [found]:
            if not isinstance(knobs, dict):
                raise ValueError(f"arms: {method} needs its knobs in braces, as {method}:{{}}")
            values = [value if isinstance(value, list) else [value] for value in knobs.values()]
            for combination in itertools.product(*values):
                pairs = zip(knobs, combination, strict=True)
                words = (f"{place(knob)}={word(value)}" for knob, value in pairs)
                yield [f"mixing={method}", *words]


def place(knob: str) -> str:
    """Where a knob of `arms=` stands in the configuration."""
    return knob[1:] if knob.startswith("/") else f"mixing.{knob}"


def word(value: Any) -> str:
    """A value as Hydra's command line takes it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def plan(
    arm_overrides: list[list[str]],
    seed_list: list[int] | None,
    compose: Callable[[list[str]], DictConfig],
) -> list[Job]:
    """One job for each seed of each arm, seed by seed, equal arms once.

    Seed by seed, so that a sweep that is cut short has whole pairs to compare.
    """
    distinct: dict[str, tuple[list[str], DictConfig]] = {}
    for overrides in arm_overrides:
        cfg = compose(overrides)
        distinct.setdefault(arm_hash(cfg), (overrides, cfg))
    jobs = []
    for seed in seed_list if seed_list is not None else [None]:
        for overrides, arm in distinct.values():
            cfg = arm.copy()
            cfg.seed = arm.seed if seed is None else seed
            jobs.append(Job([*overrides, f"seed={cfg.seed}"], cfg))
    return jobs


def begin(jobs: Sequence[Job], config: DictConfig) -> list[Job]:
    """Write the list of the sweep's runs, relative to its folder; returns those yet to be made.

    Raises:
        ValueError: some were finished by other code, and `code` does not say what then.
    """
    folder = sweep_folder(config)
    runs = [os.path.relpath(job.folder, folder) for job in jobs]
    missing = unfinished(jobs)
    write_json(folder / "sweep.json", {"name": folder.name, "runs": runs})
    already = f", {len(jobs) - len(missing)} of them finished" if len(missing) < len(jobs) else ""
    print(f"{len(jobs)} runs{already}, listed in {shown(folder / 'sweep.json')}", flush=True)
    return missing


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    """The jobs that have to be trained; no process is started for the others."""
    code = code_hashes(jobs[0].config.get("allow", ())) if jobs else {}
    fates = []
    for job in jobs:
        record = read_json(job.folder / "run.json")
        changed = changed_files(record.get("code", {}), code)
        fates.append((job, standing(record, changed, job.config.code), changed))
    asked = [(job, changed) for job, fate, changed in fates if fate == "ask"]
    if asked:
        raise ValueError(other_code([job.folder for job, _ in asked], asked[0][1]))
    return [job for job, fate, _ in fates if fate != "done"]


def end(jobs: Sequence[Job], config: DictConfig) -> None:
    """Say what is not finished and what to do next; exit with 1 if anything is not.

    The run folders are the truth, whichever launcher there was.
    """
    records = [(job, read_json(job.folder / "run.json")) for job in jobs]
    missing = [(job, record) for job, record in records if record.get("status") != "finished"]
    for job, record in missing:
        status, why = record.get("status", "missing"), record.get("error") or "it was not begun"
        if status == "running":
            why = f"by {ANOTHER}" if is_running(job.folder) else "its process is gone"
        print(f"{status}: {shown(job.folder)}: {' '.join(str(why).split())[:300]}")
    print(f"{len(jobs) - len(missing)} of {len(jobs)} runs finished")
    if missing:
        print("the same command again trains what is missing")
    if len(missing) < len(jobs):
        print(f"next: mixlab-compare {shown(sweep_folder(config))}", flush=True)
    if missing:
        raise SystemExit(1)


def compose(hydra_context: Any, master: DictConfig, overrides: list[str]) -> DictConfig:
    """One job's configuration, checked."""
    from mixlab.cli import prepare

    cfg = hydra_context.config_loader.load_sweep_config(master, overrides)
    OmegaConf.set_struct(cfg, False)
    hydra_cfg = cfg.pop("hydra")
    return prepare(cfg, hydra_cfg)


def job_return(cfg: DictConfig) -> Any:
    """What a launcher hands to Hydra's other sweepers."""
    from hydra.core.utils import JobReturn, JobStatus

    record = read_json(run_folder(cfg) / "run.json")
    result = JobReturn()
    if record.get("status") == "finished":
        result.return_value, result.status = record["results"], JobStatus.COMPLETED
    else:
        result.return_value = RuntimeError(record.get("error") or "the run was not begun")
        result.status = JobStatus.FAILED
    return result


def sweep_folder(config: DictConfig) -> Path:
    """logs/sweeps/<task_name>, made if it is not there."""
    folder = Path(config.hydra.sweep.dir).resolve()
    folder = folder.with_name(file_name(folder.name))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def shown(path: Path) -> str:
    """A path as one would type it from here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
