"""A method has one name: that of its file in configs/mixing/."""

from collections import Counter

from omegaconf import OmegaConf

from mixlab.config.keys import config_dir
from mixlab.runs.class_names import config_name

RECIPES = ("cutmix_cifar10",)  # a published setting of CutMix, whose class is for this recipe alone


def test_a_class_that_one_file_has_is_named_as_the_file() -> None:
    files = {path.stem: OmegaConf.load(path) for path in (config_dir() / "mixing").glob("*.yaml")}
    classes = {name: str(OmegaConf.select(node, "method._target_")) for name, node in files.items()}
    counts = Counter(classes.values())
    alone = {name: kind for name, kind in classes.items() if counts[kind] == 1 and "." in kind}
    assert len(alone) > 30
    assert {name: config_name(kind) for name, kind in alone.items() if name not in RECIPES} == {
        name: name for name in alone if name not in RECIPES
    }


def test_names_of_other_classes() -> None:
    assert config_name("mixlab.mixing.methods.OneOf") == "one_of"
    assert config_name("mixlab.mixing.methods.CutMix") == "cutmix"
