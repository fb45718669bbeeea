"""Reasons of several methods are one note, without their class and the remedy."""

import pytest

from mixlab.previews.notes import by_note, why_left_out

REASONS = {
    "CutMix needs rows x channels x height x width, got (16, 13); use Mixup (mixing=mixup)": (
        "left out (needs rows x channels x height x width)"
    ),
    "Random 2x2 needs rows x channels x height x width, got (16, 13); use Mixup": (
        "left out (needs rows x channels x height x width)"
    ),
    "masks average to 0.3": "left out (masks average to 0.3)",
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_ends_before_the_shape_and_the_remedy(reason: str) -> None:
    assert why_left_out(reason) == REASONS[reason]


def test_methods_with_one_reason_share_a_note() -> None:
    first, second, third = (why_left_out(reason) for reason in REASONS)
    assert by_note({"cutmix": [first], "random_2x2": [second], "mine": [third]}) == [
        "left out (needs rows x channels x height x width): cutmix, random_2x2",
        "left out (masks average to 0.3): mine",
    ]
