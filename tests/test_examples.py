"""The programs of examples/ run, learn, and mix what they train on."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from mixlab.mixing import CutMix, Mixup, OneOf, Policy

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain_torch", "plain_lightning", "timm_style"])
def test_it_learns_from_mixed_batches(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    drawn: list[float] = []

    def draw(self: Policy, *args: Any, **kwargs: Any) -> Any:
        blend = original(self, *args, **kwargs)
        drawn.append(blend.mixed_rows.float().mean().item())
        return blend

    monkeypatch.setenv("PL_GLOBAL_SEED", "")  # set by one of them; taken back after the test
    original = Policy.draw
    monkeypatch.setattr(Policy, "draw", draw)
    program = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    accuracy = program["main"](*([[]] if name == "timm_style" else []))
    assert accuracy > 0.8, "chance is 0.1"
    assert len(drawn) in (3 * 23, 10 * 23) and sum(drawn) / len(drawn) > 0.4
    assert list(here.iterdir()) == []


def test_every_example_is_run() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.suffix}
    assert names == {"plain_torch.py", "plain_lightning.py", "timm_style.py"}


@pytest.mark.parametrize(
    ("words", "kinds", "weights"),
    [
        ([], [Mixup, CutMix], [0.5, 0.5]),
        (["--mixup-switch-prob", "0.25"], [Mixup, CutMix], [0.75, 0.25]),
        (["--mixup", "0", "--mixup-switch-prob", "0"], [CutMix], [1]),
        (["--cutmix", "0"], [Mixup], [1]),
    ],
)
@pytest.mark.parametrize("mode", ["batch", "elem"])
def test_timms_options(words: list[str], kinds: list, weights: list[float], mode: str) -> None:
    program = runpy.run_path(str(EXAMPLES / "timm_style.py"))
    args = program["parser"].parse_args([*words, "--mixup-mode", mode, "--mixup-prob", "0.75"])
    mixer = program["create_mixer"](args, 10, 42)
    assert isinstance(mixer.method, OneOf)
    assert [type(method) for method in mixer.method.methods] == kinds
    assert mixer.method.weights == weights and mixer.method.per_row == (mode == "elem")
    assert all(method.per_row == (mode == "elem") for method in mixer.method.methods)
    assert mixer.policy == Policy(0.75, gate="row" if mode == "elem" else "batch")
