"""One parsing for all seeds of an arm gives each seed what parsing its own file would."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mixlab.runs import configs
from mixlab.runs.configs import dumped, parsed, stored_config

TEXT = """\
task_name: train
seed: {seed}
paths:
  run_dir: /lab/runs/arm-01234567/seed-{seed}
callbacks:
  best:
    dirpath: /lab/runs/arm-01234567/seed-{seed}/checkpoints
    tags: [seed-{seed}, 'a seed-{seed}']
  seed-{seed}: 1
data:
  noise_seed: {seed}
"""


def write(root: Path, seed: int, text: str = TEXT, name: str = "") -> Path:
    folder = root / "arm-01234567" / (name or f"seed-{seed}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(text.replace("{seed}", str(seed)))
    return folder


def alone(folder: Path):
    return yaml.safe_load((folder / "config.yaml").read_text())


def test_each_seed_has_what_its_own_file_says(tmp_path: Path) -> None:
    for seed in (0, 1, 10, 11, 2**32 - 1):
        folder = write(tmp_path, seed)
        assert stored_config(folder) == alone(folder)


SCALARS = st.one_of(
    st.integers(0, 99).map(lambda n: f"seed-{n}"), st.sampled_from(["seed-SEED", "seed: 3", "007"]),
    st.text(max_size=8), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False),
)  # fmt: skip
NODES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(SCALARS.map(str), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["seed", "data", "seeds", "x: y"]), NODES),
       st.integers(0, 12))  # fmt: skip
def test_any_mapping_is_read_as_by_itself(tmp_path_factory, node, seed) -> None:
    folder = tmp_path_factory.mktemp("arm") / f"seed-{seed}"
    folder.mkdir()
    for more in ({}, {"seed": seed}):
        (folder / "config.yaml").write_text(yaml.safe_dump({**node, **more}, allow_unicode=True))
        assert stored_config(folder) == alone(folder)


@pytest.mark.parametrize("seed", ["007", "0x3", "1_0", "3 # three", "3\n  4", "", "-1", "1.0"])
def test_a_seed_that_is_written_otherwise(tmp_path: Path, seed: str) -> None:
    folder = write(tmp_path, 3, TEXT.replace("seed: {seed}", f"seed: {seed}", 1))
    assert stored_config(folder) == alone(folder)


def test_the_seeds_of_an_arm_are_parsed_once(tmp_path: Path) -> None:
    parsed.cache_clear()
    folders = [write(tmp_path, seed, TEXT.replace("  noise_seed: {seed}\n", "  a: 1\n"))
               for seed in range(20)]  # fmt: skip
    found = [stored_config(folder) for folder in folders]
    assert parsed.cache_info().misses == 1
    assert [one["seed"] for one in found] == list(range(20))
    assert found[3]["data"] is found[4]["data"], "what is the same is kept once"


def test_broken_files_are_empty(tmp_path: Path) -> None:
    folder = write(tmp_path, 0, "a: [")
    assert stored_config(folder) == {}
    (folder / "config.yaml").write_bytes(b"\xff\xfe\xfd")
    assert stored_config(folder) == {}
    (folder / "config.yaml").write_text("- a list")
    assert stored_config(folder) == {} == stored_config(tmp_path / "nothing")
    assert stored_config(write(tmp_path, 4, TEXT, "seed-4.1")) == alone(
        tmp_path / "arm-01234567" / "seed-4.1"
    )


def test_the_mark_is_no_folder_of_a_run() -> None:
    assert not configs.re.fullmatch(r"seed-\d+", configs.MARK)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="$\\")),
    st.sampled_from(["1e3", "yes", "null", "1_000", "0o7", "1:30", "~", "", " a", "line\nline"]),
)


@given(st.dictionaries(st.text(alphabet="abc1", min_size=1), VALUES | st.lists(VALUES)))
def test_written_values_are_read_back_by_omegaconf(node: dict) -> None:
    """A word that looks like a number stays a word."""
    assert OmegaConf.to_container(OmegaConf.create(dumped(node))) == node
