"""From the overrides of a multirun to a list of runs, each arm and seed once."""

import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from mixlab import cli
from mixlab.runs import launch
from mixlab.runs.files import read_json, write_json
from mixlab.runs.identity import arm_folder, file_name, run_folder
from mixlab.runs.job import Ticket
from mixlab.runs.provenance import changed_files, code_hashes
from mixlab.runs.run import ANOTHER, Run, is_running
from mixlab.runs.standing import RETRIED, RETRY, asked_again, other_code, standing
from mixlab.runs.start import check_data_of

OURS = ("seeds", "arms", "seed", RETRY)


@dataclass(frozen=True)
class Job:
    """A run to be made: an arm, which its seeds share, at a seed."""

    overrides: list[str]  # that it is composed from
    arm: DictConfig
    seed: int
    folder: Path

    @property
    def config(self) -> DictConfig:
        """The run's own configuration, a copy."""
        cfg = self.arm.copy()
        cfg.seed = self.seed
        return cfg


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


def retried(overrides: Sequence[Any]) -> tuple[str, ...]:
    """What `sweep.retry=failed`, `failed,diverged`, `[failed,diverged]` or `all` asks for."""
    found = [override for override in overrides if override.key_or_group == RETRY]
    if not found:
        return ()
    swept = found[0].is_sweep_override()
    return asked_again(list(found[0].sweep_iterator()) if swept else found[0].value())


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
    distinct: dict[Path, tuple[list[str], DictConfig]] = {}
    for overrides in arm_overrides:
        cfg = compose(overrides)
        distinct.setdefault(arm_folder(cfg), (overrides, cfg))
    jobs = []
    for given in seed_list if seed_list is not None else [None]:
        for folder, (overrides, arm) in distinct.items():
            seed = arm.seed if given is None else given
            jobs.append(Job([*overrides, f"seed={seed}"], arm, seed, folder / f"seed-{seed}"))
    return jobs


def begin(jobs: Sequence[Job], config: DictConfig, retry: Sequence[str] = ()) -> list[Job]:
    """Write the list of the sweep's runs, relative to its folder; returns those yet to be made.

    Each of them that has no record gets one, `planned`. With `rerun` what there is is set aside.

    Raises:
        ValueError: some were finished by other code, and `code` does not say what then.
        RuntimeError: with `rerun`, some are being trained.
    """
    if jobs and jobs[0].arm.get("rerun"):
        set_aside(jobs)
    fates = list(zip(jobs, standings(jobs, retry), strict=True))
    missing = [job for job, fate in fates if fate in ("go on", "afresh")]
    check_data([job for job, fate in fates if fate == "done"])
    folder = sweep_folder(config)
    runs = [os.path.relpath(job.folder, folder) for job in jobs]
    write_json(folder / "sweep.json", {"name": folder.name, "runs": runs})
    plan_records(missing)
    for job in missing:
        job.arm.sweep.retry = list(retry)  # the job itself asks again
    count = Counter(fate for _, fate in fates)
    already = f", {count['done']} of them finished" if count["done"] else ""
    left = f", {count['leave']} left as they failed" if count["leave"] else ""
    print(f"{len(jobs)} runs{already}{left}, listed in {shown(folder / 'sweep.json')}", flush=True)
    return missing


def standings(jobs: Sequence[Job], retry: Sequence[str] = ()) -> list[str]:
    """What is to be done about each job; no process is started for what is done or left."""
    code = code_hashes(jobs[0].arm.get("allow", ())) if jobs else {}
    fates, asked = [], []
    for job in jobs:
        record = read_json(job.folder / "run.json")
        changed = changed_files(record.get("code", {}), code)
        fates.append(standing(record, changed, job.arm.code, retry))
        if fates[-1] == "ask":
            asked.append((job.folder, changed))
    if asked:
        raise ValueError(other_code([folder for folder, _ in asked], asked[0][1]))
    return fates


def check_data(done: Sequence[Job]) -> None:
    """Raise ValueError if data of finished runs have changed since; each data set once."""
    by_data: dict[str, tuple[DictConfig, list[Path]]] = {}
    for job in done:
        by_data.setdefault(str(job.arm.data), (job.arm, []))[1].append(job.folder)
    for arm, folders in by_data.values():
        check_data_of(arm, folders)


def plan_records(jobs: Sequence[Job]) -> None:
    """A record for each job that has none, so that the folders alone tell what was meant."""
    arms: dict[Path, dict[str, Any]] = {}
    for job in jobs:
        if not (job.folder / "run.json").exists():
            if job.folder.parent not in arms:
                arms[job.folder.parent] = described(job.arm, job.folder.parent)
            job.folder.mkdir(parents=True, exist_ok=True)
            record = {"status": "planned", **arms[job.folder.parent], "seed": job.seed}
            write_json(job.folder / "run.json", record, durable=False)


def described(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """What `run.json` says of an arm before it is trained."""
    slug, _, digits = folder.name.rpartition("-")
    return {"task_name": cfg.task_name, "arm": slug, "hash": digits, "tags": list(cfg.tags)}


def set_aside(jobs: Sequence[Job]) -> None:
    """Move what there is of the jobs away, and none of it while one of them is being trained."""
    running = [job.folder for job in jobs if is_running(job.folder)]
    if running:
        raise RuntimeError(
            f"{running[0]} is being trained by {ANOTHER}; wait for it or end it before rerun=true"
        )
    for job in jobs:
        if (job.folder / "run.json").exists():
            with Run.open(job.config):
                pass
    for job in jobs:
        job.arm.rerun = False  # or the job would do it again
    print("what was there is kept as seed-<n>.<number>; leave rerun=true out to go on with these")


def tickets(jobs: Sequence[Job], threads: int) -> list[Ticket]:
    """What the jobs' processes need; an arm is written out once for all its seeds."""
    texts = {}
    for job in jobs:
        if job.folder.parent not in texts:
            texts[job.folder.parent] = launch.written_out(job.arm, threads)
    at = re.compile("^seed: .*$", re.M)
    return [
        Ticket(at.sub(f"seed: {job.seed}", texts[job.folder.parent], count=1), job.folder)
        for job in jobs
    ]


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
    for advice in advised([record.get("status", "missing") for _, record in missing]):
        print(advice)
    if len(missing) < len(jobs):
        print(f"next: mixlab-compare {shown(sweep_folder(config))}", flush=True)
    if missing:
        raise SystemExit(1)


def advised(statuses: Sequence[str]) -> Iterator[str]:
    """What to do about runs that are not finished."""
    if set(statuses) - {*RETRIED}:
        yield "the same command again trains what is missing"
    retry = [status for status in RETRIED if status in statuses]
    if retry:
        which = " and ".join(retry)
        yield f"{RETRY}={','.join(retry)} added to the same command trains the {which} again"


def compose(hydra_context: Any, master: DictConfig, overrides: list[str]) -> DictConfig:
    """One job's configuration, checked."""
    return Composer(hydra_context, master)(overrides)


class Composer:
    """Configurations of a sweep, checked; those with the same choices share Hydra's work.

    A grid of a hundred learning rates reads the files of its choices once.
    """

    def __init__(self, hydra_context: Any, master: DictConfig) -> None:
        self.loader = hydra_context.config_loader
        self.master = master
        self.parser = OverridesParser.create(config_loader=self.loader)
        self.chosen: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, overrides: list[str]) -> DictConfig:
        parsed = self.parser.parse_overrides(overrides)
        values = [each for each in parsed if self.is_value(each)]
        choices = tuple(str(each.input_line) for each in parsed if each not in values)
        if choices not in self.chosen:
            self.chosen[choices] = self.loader.load_sweep_config(self.master, list(choices))
        cfg = self.chosen[choices].copy()
        ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
        OmegaConf.set_struct(cfg, False)
        hydra_cfg = cfg.pop("hydra")
        return cli.prepare(cfg, hydra_cfg)

    def is_value(self, override: Any) -> bool:
        """Whether an override is one that Hydra applies when all files are read."""
        key = override.key_or_group
        return key.split(".")[0] not in ("hydra", "allow") and not self.is_group(key)

    @cache  # noqa: B019 (there is one composer for a sweep)
    def is_group(self, key: str) -> bool:
        return bool(self.loader.get_group_options(key))


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
