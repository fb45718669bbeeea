"""What can be tested of which data, and the words for how it was tested."""

import pytest
import torch

from helpers.small_runs import composed
from mixlab.data import ArrayDataset, Datasets, ImageDataModule
from mixlab.evaluation import Crops, Flip, Views
from mixlab.evaluation.checkpoints import Options, check_part
from mixlab.evaluation.files import entry_names
from mixlab.training.build import build_data


@pytest.mark.parametrize(
    "options", [Options(views=Crops(3)), Options(keeps_answers=True)], ids=["views", "rows"]
)
def test_masks_have_no_vote_and_no_line_for_a_row(options: Options) -> None:
    data = build_data(composed("data=shapes", "model=segmentation", "mixing=none"))
    check_part(data, Options())
    with pytest.raises(ValueError, match="a class for each pixel, .* leave out tta, predictions"):
        check_part(data, options)


def test_several_labels_an_image_have_neither() -> None:
    labels = torch.tensor([[row % 2, row % 3 == 0] for row in range(12)]).to(torch.uint8)
    images = ArrayDataset(torch.zeros(12, 1, 4, 4, dtype=torch.uint8), labels, ("a", "b"))
    data = ImageDataModule(Datasets(images, None, images), val_size=3)
    check_part(data, Options())
    with pytest.raises(ValueError, match="data has several labels an image, and views"):
        check_part(data, Options(views=Flip()))


def test_a_part_that_there_is_not() -> None:
    data = build_data(composed("data.val_size=0"))
    check_part(data, Options())
    with pytest.raises(ValueError, match="digits have no validation set; give data with one"):
        check_part(data, Options(part="val"))
    images = ArrayDataset(torch.zeros(12, 1, 4, 4, dtype=torch.uint8), torch.arange(12) % 2, "ab")
    data = ImageDataModule(Datasets(images, None, None), val_size=3)
    with pytest.raises(ValueError, match="have no test set; use part=val"):
        check_part(data, Options())


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (Options(), ["test"]),
        (Options("val", limit=2), ["val limit_test_batches=2"]),
        (Options(views=Flip(force=True)), ["test", "test tta=flip"]),
        (Options(views=Crops(9, "majority")), ["test", "test tta=crops views=9 vote=majority"]),
        (
            Options(views=Crops(9, padding=1), limit=0.5),
            [
                "test limit_test_batches=0.5",
                "test tta=crops views=9 padding=1 limit_test_batches=0.5",
            ],
        ),
    ],
)
def test_the_name_of_an_entry_says_what_was_asked_for(options: Options, names: list[str]) -> None:
    assert entry_names(options, None) == names
    other = entry_names(options, "0123456789abcdef")
    assert [name.removesuffix(" data=01234567") for name in other] == names != other


def test_every_knob_that_can_change_a_figure_is_in_the_words() -> None:
    every: list[Views] = [Flip(), Crops(5), Crops(6), Crops(5, padding=2), Crops(5, "majority")]
    assert len({views.words for views in every}) == len(every)
