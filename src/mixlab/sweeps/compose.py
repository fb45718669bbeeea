"""From overrides to the checked configurations of a sweep."""

from collections.abc import Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from mixlab.checks import is_number
from mixlab.config.build import copied
from mixlab.config.checks import check_mixing, prepare
from mixlab.config.keys import is_knob, leaves, nearest_name
from mixlab.config.schema import VALUES
from mixlab.errors import UserError


class Composer:
    """Composes and checks configurations; a grid of numbers composes its files only once."""

    def __init__(self, hydra_context: Any, master: DictConfig) -> None:
        self.loader = hydra_context.config_loader
        self.master = master
        parser = OverridesParser.create(config_loader=self.loader)
        self.parsed = cache(lambda word: parser.parse_overrides([word])[0])
        self.chosen: dict[tuple[str, ...], tuple[DictConfig, DictConfig]] = {}
        self.is_group = cache(lambda key: bool(self.loader.get_group_options(key)))
        self.without_numbers = cache(self.checked)

    def __call__(self, overrides: list[str]) -> DictConfig:
        parsed = [self.parsed(word) for word in overrides]  # the arms of a grid share most words
        numbers = [each for each in parsed if self.is_value(each) and is_given_number(each)]
        rest = tuple(str(each.input_line) for each in parsed if each not in numbers)
        shared = self.without_numbers(rest) if numbers else None
        if shared is not None and all(has_number(shared, each.key_or_group) for each in numbers):
            return with_numbers(shared, numbers)
        return prepare(*self.unchecked(overrides))

    def checked(self, overrides: tuple[str, ...]) -> DictConfig | None:
        """A configuration that many arms are copied from; None if it is not legal by itself."""
        try:
            return prepare(*self.unchecked(list(overrides)))
        except UserError:
            return None

    def unchecked(self, overrides: list[str]) -> tuple[DictConfig, Any]:
        """A configuration as it is written, and what `prepare` reads of Hydra's own node."""
        parsed = [self.parsed(word) for word in overrides]
        values = [each for each in parsed if self.is_value(each)]
        choices = tuple(str(each.input_line) for each in parsed if each not in values)
        if choices not in self.chosen:
            found = self.loader.load_sweep_config(self.master, list(choices))
            with open_dict(found):
                self.chosen[choices] = found, found.pop("hydra")  # larger than all the rest
        shared, hydra_node = self.chosen[choices]
        cfg = copied(shared)
        if not OmegaConf.select(cfg, "mixing.method._target_"):  # `none` has no knobs
            values = [each for each in values if not is_knob(each.key_or_group)]
        check_knobs_of(cfg, values, hydra_node.runtime.choices)
        ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
        OmegaConf.set_struct(cfg, False)
        task = [*hydra_node.overrides.task, *(str(each.input_line) for each in values)]
        return cfg, SimpleNamespace(
            runtime=hydra_node.runtime, job=hydra_node.job, overrides=SimpleNamespace(task=task)
        )

    def is_value(self, override: Any) -> bool:
        """Whether Hydra applies an override after it has read all files."""
        key = override.key_or_group
        return key.split(".")[0] not in ("hydra", "allow") and not self.is_group(key)


def is_given_number(override: Any) -> bool:
    """Whether an override sets a key, that is there, to a number."""
    if override.is_add() or override.is_delete() or override.is_sweep_override():
        return False
    return override.package is None and is_number(override.value())


def has_number(cfg: DictConfig, key: str) -> bool:
    return is_number(OmegaConf.select(cfg, key, throw_on_missing=False))


def with_numbers(shared: DictConfig, numbers: Sequence[Any]) -> DictConfig:
    """A copy of a checked configuration with other numbers, which are all that is left to check."""
    cfg = copied(shared)
    for each in numbers:
        key, value = each.key_or_group, each.value()
        if key in VALUES:
            VALUES[key].check(key, value)
        OmegaConf.update(cfg, key, value)
    check_mixing(cfg)
    return cfg


def check_knobs_of(cfg: DictConfig, values: Sequence[Any], choices: Mapping[Any, Any]) -> None:
    """Raise UserError if a knob is set that the arm's method does not have."""
    own = [key.rsplit(".", 1)[-1] for key, _ in leaves(cfg.get("mixing"))]
    for key in (each.key_or_group for each in values if not each.is_add()):
        if is_knob(key) and OmegaConf.select(cfg, key, default=own) is own:
            near = nearest_name(key.rsplit(".", 1)[-1], own)
            raise UserError(
                f"mixing={choices['mixing']} has no {key}"
                + (f"; did you mean {key.rsplit('.', 1)[0]}.{near}?" if near else "")
                + "; arms={none:{},cutmix:{method.alpha:1}} gives each arm its own knobs"
            )
