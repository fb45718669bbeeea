"""Commands of one process of tests share what is the same in each: files and references.

A command parses some thirty files twice, in pure Python, which takes a quarter of a second. Tests
have hundreds of commands, and the files hardly ever differ.
"""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import omegaconf.base
from hydra._internal import defaults_list
from hydra._internal.config_repository import ConfigRepository

from mixlab.config import checks
from mixlab.config.keys import config_dir


@contextmanager
def composed_quickly() -> Iterator[None]:
    """Within, a text is parsed once, and the reference of the same choices is composed once."""
    with (
        patch.object(ConfigRepository, "load_config", parsed_once(ConfigRepository.load_config)),
        patch.object(omegaconf.base, "parse", cache(omegaconf.base.parse)),
        patch.object(defaults_list, "_create_interpolation_map", map_where_it_is_read()),
        patch.object(checks, "compose_plain", composed_once(checks.compose_plain)),
    ):
        yield


def parsed_once(load: Callable[..., Any]) -> Callable[..., Any]:
    """`ConfigRepository.load_config`, which does not parse the same text of a file again."""
    known: dict[tuple[str, ...], Any] = {}

    def loaded(repository: Any, config_path: str) -> Any:
        source = next((each for each in repository.sources if each.is_config(config_path)), None)
        if source is None or source.scheme() not in ("file", "pkg"):
            return load(repository, config_path)
        is_file, name = source.scheme() == "file", source._normalize_file_name(config_path)
        text = (Path(source.path) / name).read_text(encoding="utf-8") if is_file else ""
        key = (source.provider, source.path, name, text)
        if key not in known:
            found = load(repository, config_path)
            known[key] = found, pickle.dumps((found.config, found.defaults_list))
        found, content = known[key]
        config, defaults = pickle.loads(content)  # five times as fast as a deep copy
        return replace(found, config=config, defaults_list=defaults)

    return loaded


def map_where_it_is_read() -> Callable[..., Any]:
    """Hydra's map of the choices so far, which it makes for each file, but for names in `${}`.

    It takes a fifth of a composition.
    """
    make = defaults_list._create_interpolation_map

    def made(overrides: Any, defaults: list[Any], self_added: bool) -> Any:
        is_read = any(each.is_interpolation() for each in defaults)
        return make(overrides, defaults, self_added) if is_read else None

    return made


def composed_once(compose: Callable[..., Any]) -> Callable[..., Any]:
    """`compose_plain`, whose result is only read: once for the same choices of shipped files."""
    known: dict[tuple[str, ...], Any] = {}
    ours = (str(config_dir()), f"file://{config_dir()}", "pkg://hydra.conf", "structured://")

    def composed(loader: Any, config_name: str, overrides: tuple[str, ...]) -> Any:
        places = [each.path for each in loader.get_search_path().get_path()]
        key = (type(loader).__name__, config_name, *overrides)
        if not all(place in ours for place in places):
            return compose(loader, config_name, overrides)
        if key not in known:
            known[key] = compose(loader, config_name, overrides)
        return known[key]

    return composed
