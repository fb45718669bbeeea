"""Weighted sums of whole rows: the numbers, and their derivatives of any order."""

import pytest
import torch
from torch import Tensor

from mixlab.mixing.row_sums import bags, weighted_rows

SOURCE = torch.tensor([[0, 3, 3], [1, 0, 5], [2, 2, 0]])  # of six rows; 4 goes nowhere, 0 often
SHAPES = [(6, 5), (6, 2, 3), (6, 2, 3, 3)]


def weights(rows: int = 3) -> Tensor:
    drawn = torch.rand(rows, 3, generator=torch.Generator().manual_seed(0))
    return drawn / drawn.sum(1, keepdim=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("num_weights", [1, 3])
def test_it_is_the_sum_and_its_slope_is_the_transposed_one(
    shape: tuple[int, ...], num_weights: int
) -> None:
    rows, weight = torch.randn(shape, dtype=torch.float64, requires_grad=True), weights(num_weights)
    matrix = torch.zeros(3, 6, dtype=torch.float64)
    matrix.scatter_add_(1, SOURCE, weight.double().expand(3, 3))
    expected = torch.tensordot(matrix, rows, 1)
    mixed = weighted_rows(rows, SOURCE, weight)
    torch.testing.assert_close(mixed, expected)
    torch.testing.assert_close(weighted_rows(rows.detach(), SOURCE, weight), expected)
    slope = torch.randn_like(mixed)
    (found,) = torch.autograd.grad(mixed, rows, slope)
    torch.testing.assert_close(found, torch.tensordot(matrix.T, slope, 1))


@pytest.mark.parametrize("shape", SHAPES)
def test_there_is_a_second_derivative(shape: tuple[int, ...]) -> None:
    rows = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: weighted_rows(x, SOURCE, weights()).sin(), rows)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_functions_of_functions_are_differentiated_too() -> None:
    rows = torch.randn(6, 2, dtype=torch.float64)

    def total(rows: Tensor) -> Tensor:
        return weighted_rows(rows, SOURCE, weights()).square().sum()

    curvature = torch.func.jacrev(torch.func.grad(total))(rows)
    torch.testing.assert_close(curvature, torch.autograd.functional.hessian(total, rows))


@pytest.mark.parametrize("shape", [(6, 5, 3), (6, 5, 4, 3), (6, 2, 5, 4, 3)])
def test_channels_stay_last_where_they_were(shape: tuple[int, ...]) -> None:
    """Of signals, images and videos; what is in no such order comes out contiguous."""
    rows = torch.randn(shape).movedim(-1, 1)
    mixed = weighted_rows(rows, SOURCE, weights())
    assert mixed.stride() == rows.stride()
    torch.testing.assert_close(mixed, weighted_rows(rows.contiguous(), SOURCE, weights()))
    assert weighted_rows(rows[..., ::2], SOURCE, weights()).is_contiguous()


def test_learned_weights_get_a_slope() -> None:
    rows, weight = torch.randn(6, 4), weights().requires_grad_()
    (slope,) = torch.autograd.grad(weighted_rows(rows, SOURCE, weight).sum(), weight)
    torch.testing.assert_close(slope, rows.sum(1)[SOURCE])


def test_nothing_of_a_row_that_goes_nowhere_is_in_an_empty_bag() -> None:
    first, weight = torch.tensor([0, 1, 1]), torch.tensor([2.0, 3.0])
    found = bags(torch.eye(2), torch.tensor([1, 0]), first, weight)
    assert torch.equal(found, torch.tensor([[0.0, 2.0], [0.0, 0.0], [3.0, 0.0]]))
