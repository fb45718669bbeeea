"""Trainings whose mixing looks at the network: stopped and continued, audited, drawn again."""

from pathlib import Path

import pytest
import torch

from helpers.mixing_cases import CONFIG_NAMES, method_node
from helpers.small_runs import SignalAt, Watch, checkpoint, composed, differences, small, train_with
from mixlab.callbacks import Interrupted
from mixlab.config.build import build, plain
from mixlab.ledger.audit import audit
from mixlab.mixing.binding import needs_network
from mixlab.previews.replay import replay
from mixlab.runs import run_folder

GUIDED = [name for name in CONFIG_NAMES if "saliency" in method_node(name)]
WORDS = ("model=cnn_bn", "augmentation=flip_crop", "augmentation.force=true")


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDED)
def test_a_run_that_is_stopped_goes_on_and_stands_an_audit(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = (*WORDS, f"mixing={name}", "mixing.probability=0.8")
    whole, cut = (small(tmp_path / each, *words) for each in ("whole", "cut"))
    watch, again = Watch(), Watch()
    train_with(whole, watch)
    with pytest.raises(Interrupted):
        train_with(cut, SignalAt(1, 1))
    train_with(cut, again)
    assert not list(differences(*(checkpoint(cfg)["state_dict"] for cfg in (whole, cut))))
    last, same = watch.steps[-1], again.steps[-1]
    assert torch.equal(last.images, same.images) and torch.equal(last.targets, same.targets)
    assert (last.targets.max(1).values < 1).any(), "mixed"
    assert audit([str(run_folder(cut))], steps=3, reach=8, seed=0), capsys.readouterr().out


@pytest.mark.parametrize("name", GUIDED)
def test_a_batch_is_drawn_again_where_no_network_decided(name: str, tmp_path: Path) -> None:
    cfg, watch = small(tmp_path, f"mixing={name}", "trainer.max_epochs=1"), Watch()
    train_with(cfg, watch)
    wanted = composed(config="preview").copy()
    wanted.merge_with({"run": str(run_folder(cfg)), "batch": 2})
    if needs_network(build(plain(cfg.mixing)).method):
        with pytest.raises(ValueError, match="mixed this run as the network was at each step, and"):
            replay(wanted)
    else:
        assert torch.equal(replay(wanted).batch.images, watch.steps[2].images)


def test_mixing_looks_at_the_weights_of_the_step(tmp_path: Path) -> None:
    """At another learning rate the second batch is mixed in another way, the first is not."""
    seen = []
    for rate in ("0.001", "0.1"):
        watch = Watch()
        words = ("mixing=attentivemix", "trainer.max_epochs=1", f"optimizer.lr={rate}")
        train_with(small(tmp_path / rate, *words), watch)
        seen.append([step.images for step in watch.steps])
    assert torch.equal(seen[0][0], seen[1][0]) and not torch.equal(seen[0][3], seen[1][3])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
@pytest.mark.parametrize("name", GUIDED)
def test_at_another_precision(name: str, precision: str, tmp_path: Path) -> None:
    watch = Watch()
    words = ("model=cnn_bn", f"mixing={name}", f"trainer.precision={precision}")
    train_with(small(tmp_path, *words, "trainer.max_epochs=1"), watch)
    assert any((step.targets.max(1).values < 1).any() for step in watch.steps)
