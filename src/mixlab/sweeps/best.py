"""The end of a search: a table, and the best trial as an experiment to be trained with fresh seeds.

A search has chosen its best trial by the figure that it shows, so that figure is too good. What the
best trial is worth is measured by training it again, beside the baseline, at seeds that the search
has not used.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mixlab.config.checks import WITHOUT_KEYS, prepare, reference
from mixlab.config.keys import config_dir, leaves
from mixlab.errors import UserError
from mixlab.runs.atomic import write_text
from mixlab.runs.identity import arm_hash, is_one_batch
from mixlab.runs.records import shown_path
from mixlab.sweeps.study import ranked, told_trials
from mixlab.sweeps.trials import Search, described

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FRESH = 6  # seeds, the fewest that can claim; they are 0 to 5, and trials begin at a million
TRIALS_SHOWN = 10  # trials in the table
BEST, BASELINE, UNMIXED = "best", "baseline", "best_unmixed"  # names of the experiments
NOT_CARRIED = (  # what belongs to the search, or is given on the command line
    "task_name", "seed", "seeds", "arms", "test", "optimized_metric", "trial_of", "existing",
    "retry", "allow", "tags", "paths",
)  # fmt: skip
CARRIED = ("paths.", "allow=", "hydra/launcher=", "hydra.launcher.")  # to the next command line


def end_search(search: Search, config: DictConfig) -> None:
    """Print the table and the next command, and write what that needs.

    Raises:
        SystemExit: with 1 if no trial has a result.
    """
    best = ranked(search.study)
    print_trials(search, best)
    if not best:
        print("no trial was finished; the log.txt of a run says why")
        raise SystemExit(1)
    result = {"name": "optuna", "best_params": best[0].params, "best_value": best[0].value}
    write_text(search.folder / "optimization_results.yaml", OmegaConf.to_yaml(result))
    experiments = experiments_of(best)
    for name, given in experiments.items():
        words = [*search.fixed, *given]
        write_experiment(search, name, words, header(search, best[0], name))
        check_experiment(search, name, words)
    for line in next_commands(search, experiments, config):
        print(line, flush=True)


def chosen_words(trial: "FrozenTrial") -> list[str]:
    """The overrides that a trial has beside those of all trials."""
    return list(trial.user_attrs["words"])


def experiments_of(best: "Sequence[FrozenTrial]") -> dict[str, list[str]]:
    """The overrides of each experiment: one if nothing is mixed at best, else two or three.

    The baseline has the settings of the best trial, which may suit mixing. So the best trial
    without mixing is a third one, if its other settings differ.
    """
    words = chosen_words(best[0])
    others = [word for word in words if not word.startswith(("mixing=", "mixing."))]
    found = {BEST: words, BASELINE: ["mixing=none", *others]}
    unmixed = (chosen_words(trial) for trial in best)
    found[UNMIXED] = next((each for each in unmixed if "mixing=none" in each), found[BASELINE])
    if found[BEST] == found[UNMIXED]:
        return {BEST: words}
    if set(found[UNMIXED]) == set(found[BASELINE]):
        del found[UNMIXED]
    return found


def print_trials(search: Search, best: "Sequence[FrozenTrial]") -> None:
    """The best trials, and how many there are of each kind."""
    every = told_trials(search.study)
    for rank, trial in enumerate(best[:TRIALS_SHOWN], 1):
        print(f"{rank:>3}  {trial.value:.4f}  trial {trial.number}: {described(trial)}")
    states = [trial.state.name for trial in every]
    pruned, failed = states.count("PRUNED"), states.count("FAIL")
    runs = len({trial.user_attrs.get("run") for trial in every})
    print(
        f"{len(every)} trials ({runs} different runs): {len(best)} finished, {pruned} pruned, "
        f"{failed} failed or diverged"
    )


def header(search: Search, best: "FrozenTrial", name: str) -> str:
    """The comment at the top of an experiment file."""
    count = len(told_trials(search.study))
    chosen = (
        f"Trial {best.number} of {count} of the search {search.folder.name}, the best by "
        f"{search.metric}: {best.value:.4f} with one seed, which is too good, since it was chosen."
    )
    said = {
        BEST: chosen,
        BASELINE: "The settings of the best trial without its mixing.",
        UNMIXED: "The best trial without mixing, which may have found other settings.",
    }
    return f"# @package _global_\n# {said[name]}\n"


def write_experiment(search: Search, name: str, words: list[str], head: str) -> Path:
    """Write `conf/experiment/<name>.yaml` in the sweep's folder: choices, then what they change."""
    cfg, hydra_cfg = search.compose.unchecked(words)
    plain = dict(leaves(reference(search.compose.loader, hydra_cfg)))
    node: dict[str, Any] = {"defaults": list(choices(hydra_cfg, words))}
    node["task_name"] = best_name(search)
    changed = OmegaConf.create(node)
    for key, value in leaves(cfg):
        is_changed = plain.get(key, ...) != value or is_one_batch(key, value)  # 1 == 1.0
        if key.split(".")[0] not in NOT_CARRIED and is_changed:
            OmegaConf.update(changed, key, value, force_add=True)
    file = search.folder / "conf" / "experiment" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, head + OmegaConf.to_yaml(changed))
    return file


def check_experiment(search: Search, name: str, words: list[str]) -> None:
    """Raise UserError if the file, read as Hydra will read it, describes another training."""
    loader: Any = search.compose.loader
    path = deepcopy(loader.config_search_path)
    path.prepend("search", f"file://{search.folder / 'conf'}", "schema")
    given = [f"experiment={name}", *(word for word in search.fixed if word.startswith(CARRIED))]
    cfg = type(loader)(path).load_configuration("train", given, RunMode.RUN)
    OmegaConf.set_struct(cfg, False)
    if arm_hash(prepare(cfg, cfg.pop("hydra"))) != arm_hash(search.compose(words)):
        raise UserError(
            f"experiment={name} does not say all that the trial had (was something taken out with "
            f"~?); train it by its words: {shlex.join(words)}"
        )


def choices(hydra_cfg: Any, words: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The choice of each group, as entries of a defaults list."""
    given = dict(word.lstrip("+").split("=", 1) for word in words if "=" in word)
    for group, choice in hydra_cfg.runtime.choices.items():
        if group in WITHOUT_KEYS or not (config_dir() / group).is_dir():
            continue  # `hydra/...`, and groups that only set values
        several = given.get(group, "")
        listed = several[1:-1].split(",") if several[:1] == "[" else choice
        if listed is not None:
            yield {f"override /{group}": listed}


def best_name(search: Search) -> str:
    """The `task_name` of the trainings that follow."""
    return f"{search.folder.name}_best"


def next_commands(
    search: Search, experiments: Mapping[str, list[str]], config: DictConfig
) -> Iterator[str]:
    """The command that trains the best trial beside the baseline, and the one that compares."""
    conf, here = search.folder / "conf", user_config_dir(config)
    where = [f"--config-dir={shown_path(conf)}"]
    if here:  # Hydra takes one such folder
        where = [f"--config-dir={here}", f"hydra.searchpath=[file://{conf}]"]
    given = [*search.fixed, *config.hydra.overrides.hydra]
    carried = [word for word in given if word.startswith(CARRIED)]
    name = f"task_name={best_name(search)}"  # of the sweep's folder: each run has it from its file
    words = [*where, f"experiment={','.join(experiments)}", f"seeds={FRESH}", name, *carried]
    if len(experiments) == 1:
        yield "no mixing was best; with fresh seeds and tested:"
    else:
        yield "the best figure is too good, since it was chosen; with fresh seeds, and tested once:"
    yield f"next: mixlab-train -m {shlex.join(words)}"
    compare = f"mixlab-compare {shown_path(search.folder.with_name(best_name(search)))}"
    yield f"then: {compare}"
    if UNMIXED in experiments:
        other = differing_keys([experiments[BEST], experiments[UNMIXED]])
        by = " ".join(f"--by {key}" for key in ("mixing", *other))
        yield f"or all together, with --baseline=<the better one without mixing>: {compare} {by}"


def user_config_dir(config: DictConfig) -> str | None:
    """The user's own `--config-dir`, if there is one."""
    for source in config.hydra.runtime.config_sources:
        if source.provider == "command-line":
            return shown_path(Path(source.path))
    return None


def differing_keys(words: Sequence[Sequence[str]]) -> list[str]:
    """Keys outside of mixing whose values differ between lists of overrides."""
    pairs = [dict(word.split("=", 1) for word in each) for each in words]
    keys = dict.fromkeys(key for each in pairs for key in each)
    own = [key for key in keys if key.split(".")[0] != "mixing"]
    return [key for key in own if len({each.get(key) for each in pairs}) > 1]
