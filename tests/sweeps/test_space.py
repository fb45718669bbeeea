"""What a search varies."""

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mixlab.errors import UserError
from mixlab.sweeps.space import Axis, axes_of, check_axes, trial_words

WORDS = ("mixing.method.alpha=interval(0.1,2)", "mixing=choice(none,mixup,cutout)", "+a=1,2")
KNOBS = {"none": {}, "mixup": {"method": {"alpha": 1}}, "cutout": {"method": {"size": 8}}}


def axes(*words: str) -> list[Axis]:
    overrides = OverridesParser.create().parse_overrides(list(words))
    return axes_of(overrides, lambda key: key == "mixing")


def compose(words: list[str]):
    chosen = dict(word.split("=", 1) for word in words)
    if "mixing.nothing" in chosen:
        raise UserError("mixing.nothing is not a key")
    return OmegaConf.create({"mixing": KNOBS[chosen.get("mixing", "none")], "data": {"size": 3}})


def asked(words: dict, *given: str) -> list[str]:
    study = optuna.create_study()
    study.enqueue_trial(words)
    return trial_words(study.ask(), axes(*given), ["data=x"], compose)


def test_groups_come_first_and_a_knob_only_where_the_choice_has_it() -> None:
    assert [axis.key for axis in axes(*WORDS)] == ["mixing", "mixing.method.alpha", "a"]
    tried = {"mixing": "mixup", "mixing.method.alpha": 0.123456, "a": "2"}
    assert asked(tried, *WORDS) == ["data=x", "mixing=mixup", "mixing.method.alpha=0.1235", "+a=2"]
    for other in ("none", "cutout"):
        assert asked({**tried, "mixing": other}, *WORDS) == ["data=x", f"mixing={other}", "+a=2"]


def test_values_are_those_of_the_override() -> None:
    words = ("a=interval(1,4)", "b=int(interval(1,4))", "c=tag(log,interval(0.001,0.1))")
    words += ("d=range(2,8,2)", "e=x,y", "f=[1,2],[3]", "g=null,true", "h=range(0,1,0.5)")
    found = {axis.key: axis.values for axis in axes(*words)}
    assert found["a"] == optuna.distributions.FloatDistribution(1, 4)
    assert found["b"] == optuna.distributions.IntDistribution(1, 4)
    assert found["c"] == optuna.distributions.FloatDistribution(0.001, 0.1, log=True)
    assert found["d"] == optuna.distributions.IntDistribution(2, 6, step=2)
    assert found["e"].choices == ("x", "y") and found["f"].choices == ("[1,2]", "[3]")
    assert found["g"].choices == ("null", "True") and found["h"].choices == ("0.0", "0.5")


def test_a_number_has_four_digits_and_stays_in_its_interval() -> None:
    (axis,) = axes("a=interval(0.12353,0.98765)")
    assert axis.shown(0.5678912) == "0.5679"
    assert axis.shown(0.12354) == "0.12353", "0.1235 would be too small"
    assert axis.shown(0.98764) == "0.9876"


def test_mistakes_are_found_before_anything_is_trained() -> None:
    with pytest.raises(UserError, match="something to vary"):
        axes("mixing=none")
    with pytest.raises(UserError, match="a: .*LOW below HIGH"):
        axes("a=interval(2,1)")
    check_axes(axes(*WORDS), ["data=x"], compose)
    with pytest.raises(UserError, match="mixing.nothing is not a key"):
        check_axes(axes(WORDS[1], "mixing.nothing=interval(0,1)"), [], compose)
    with pytest.raises(UserError, match="data.other belongs to none of the choices"):
        check_axes(axes(WORDS[1], "data.other=interval(0,1)"), [], compose)
