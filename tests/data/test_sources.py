from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision

from mixlab.data import Digits, Downloaded
from mixlab.data.in_memory import resize
from mixlab.data.sources import cause


def test_digits_are_dealt_out_once():
    train, val, test = Digits().splits()
    assert len(train) + len(test) == 1797 and val is None
    assert len(test) == round(0.2 * 1797)
    assert train.shape == (1, 8, 8) and int(train.images.max()) == 255
    shares = torch.bincount(test.targets) / torch.bincount(torch.cat([train.targets, test.targets]))
    assert (shares - 0.2).abs().max() < 0.01


def test_resizing_keeps_the_fingerprint_and_what_was_given():
    train, _, digits = Digits().splits()
    large = digits.resized(32)
    assert large.shape == (1, 32, 32) and digits.shape == (1, 8, 8)
    assert large.fingerprint == digits.fingerprint != train.fingerprint
    assert large.images.dtype == torch.uint8
    assert large.resized(32) is large


def test_other_images_and_other_labels_are_other_data():
    data = Digits().splits().test
    targets, images = data.targets.clone(), data.images.clone()
    targets[0] = (targets[0] + 1) % 10
    images[0, 0, 0, 0] += 1
    changed = [replace(data, targets=targets), replace(data, images=images)]
    assert len({data.fingerprint, *(each.fingerprint for each in changed)}) == 3


def test_resizing_rounds_and_does_not_wrap_around():
    edge = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8)[None, None]
    large = resize(edge, 7)
    assert int(large.min()) == 0 and int(large.max()) == 255
    flat = torch.full((2, 3, 5, 5), 200, dtype=torch.uint8)
    assert (resize(flat, 9) == 200).all() and (resize(flat, 3) == 200).all()


def fake_set(root, train, download):
    rows = 20 if train else 10
    return SimpleNamespace(
        data=np.full((rows, 8, 8, 3), np.arange(rows)[:, None, None, None], np.uint8),
        targets=list(range(10)) * (rows // 10),  # the row's number modulo 10, as its pixels say
        classes=[f"name {number}" for number in range(10)],
    )


def test_a_download_is_kept_as_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", fake_set)
    path = tmp_path / "deep" / "cifar10.npz"
    train = Downloaded(path).splits().train
    assert len(train) == 20
    monkeypatch.delattr(torchvision.datasets, "CIFAR10")
    again = Downloaded(path).splits().test
    assert again.shape == (3, 8, 8) and again.class_names[3] == "name 3"
    for data in (train, again):
        assert torch.equal(data.targets, data.images[:, 0, 0, 0] % 10)
    assert [file.name for file in path.parent.iterdir()] == ["cifar10.npz"]


def test_no_network_names_both_ways_and_leaves_nothing(tmp_path, monkeypatch):
    def refuse(root, train, download):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", refuse)
    with pytest.raises(ValueError, match="host.*network connection, or set data.path to") as error:
        Downloaded(tmp_path / "cifar10.npz").splits()
    assert "train_images" in str(error.value) and "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_resized_pixels_are_rounded_to_the_nearest():
    levels = torch.tensor([0, 1, 3, 3], dtype=torch.uint8).view(1, 1, 2, 2)  # 1.75 on average
    assert resize(levels, 1).item() == 2


def test_a_failed_download_is_told_in_a_line() -> None:
    tried = "Error downloading a.gz:\nTried http://a.b/, got:\n<urlopen error [Errno -2] unknown>\n"
    assert cause(RuntimeError(tried)) == "unknown"
    assert cause(OSError("no route\nto host")) == "no route to host"
