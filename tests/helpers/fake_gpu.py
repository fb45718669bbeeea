"""A GPU without a driver: tensors on `cuda` have no values, those on the CPU are real.

    with FakeGpu() as gpu:
        images = gpu.put(torch.rand(8, 3, 32, 32))   # on cuda:0, without values
        ...
    gpu.waits, gpu.copies, gpu.operations

So unchanged code runs as on a GPU: it draws with numpy and real tensors, and applies to torch's
fake ones, which have a shape, a dtype and a device. An operation on tensors of two devices fails,
as on a GPU. What makes the CPU wait for a GPU is recorded; a value read from it is zero.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from helpers.walked_backward import backward

CUDA = torch.device("cuda", 0)
SMALL = 2**16  # bytes; larger copies from pageable memory make the CPU wait, `non_blocking` or not
# Operations whose result has a size, or is a number, that only the values decide.
READING = {
    "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount",
    "equal", "is_nonzero", "_local_scalar_dense", "repeat_interleave", "histc",
}  # fmt: skip


class FakeGpu(TorchDispatchMode):
    """A mode that leaves work on the CPU real and hands work on the GPU to torch's fake tensors.

    Attributes:
        waits: for the GPU, by what made the CPU wait: reads of a value, copies to the CPU, sizes
            that depend on values, and copies to the GPU without `non_blocking`.
        sent: copies to the CPU that are awaited later.
        copies: to the GPU.
        operations: on the GPU.
        doubles: operations on the GPU that make float64, which Apple's GPUs do not have.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.forget()

    def forget(self) -> None:
        """Count from zero."""
        self.waits: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.copies, self.operations, self.doubles = 0, 0, 0
        self.pinned: list[Tensor] = []

    def put(self, values: Tensor) -> Tensor:
        """`values` on the GPU; counts from zero."""
        there = values.to(CUDA)
        self.forget()
        return there

    def pin(self, values: Tensor) -> Tensor:
        """A copy as in page-locked memory."""
        self.pinned.append(values.clone())
        return self.pinned[-1]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        target = torch.device(kwargs.get("device") or "cpu")
        there = [each for each in tensors if on_gpu(each)]
        if not there and target.type != "cuda":
            return func(*args, **kwargs)
        self.operations += func.namespace != "prim"  # which only ask, as for the device
        name = func.overloadpacket.__name__
        if (back := self.to_cpu(name, func, args, kwargs, there)) is not None:
            return back
        self.to_gpu(name, args, kwargs, tensors, target)
        with self.fake:
            made = func(*args, **kwargs)
        self.doubles += any(
            on_gpu(each) and each.dtype == torch.float64 for each in tree_leaves(made)
        )
        return made

    def to_cpu(self, name: str, func: Any, args: Any, kwargs: Any, there: list[Tensor]) -> Any:
        """The result of an operation that brings values to the CPU: zeros; None for others."""
        first: Any = args[0] if args else None
        if name == "_to_copy" and there and torch.device(kwargs.get("device") or CUDA) != CUDA:
            later = kwargs.get("non_blocking", False)
            (self.sent if later else self.waits)["copy to the CPU"] += 1
            return torch.zeros(first.shape, dtype=kwargs.get("dtype") or first.dtype)
        if name == "copy_" and not on_gpu(first):
            self.waits["copy to the CPU"] += 1
            return first.zero_()
        if name in ("_local_scalar_dense", "is_nonzero", "equal"):
            self.waits[f"value read ({name})"] += 1
            zero = torch.zeros((), dtype=first.dtype).item()
            return zero if name == "_local_scalar_dense" else False
        if name in READING and not (name == "repeat_interleave" and kwargs.get("output_size")):
            self.waits[f"size from values ({name})"] += 1
        return None

    def to_gpu(self, name: str, args: Any, kwargs: Any, tensors: list[Tensor], to: Any) -> None:
        """Count what is copied to the GPU, and indices that make it wait."""
        moved = [each for each in tensors if not on_gpu(each) and each.ndim]
        if name in ("_to_copy", "copy_") and moved and (to.type == "cuda" or on_gpu(args[0])):
            self.copies += 1
            size = moved[0].numel() * moved[0].itemsize
            waits_not = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
            if not waits_not:
                self.waits["copy to the GPU without non_blocking"] += 1
            if size > SMALL and not any(moved[0] is each for each in self.pinned):
                self.waits["large copy from pageable memory"] += 1
        elif name.startswith(("index", "_index")):
            indices = [each for each in tree_leaves(args[1:2]) if isinstance(each, Tensor)]
            self.waits["index from the CPU"] += any(not on_gpu(each) for each in indices)
            masks = (torch.bool, torch.uint8)
            if name in ("index", "index_put_", "index_put", "_index_put_impl_"):
                self.waits["index by a mask"] += any(each.dtype in masks for each in indices)
        self.waits += Counter()  # without zeros


def on_gpu(tensor: Any) -> bool:
    return isinstance(tensor, FakeTensor) and tensor.device.type == "cuda"


class FakeEvent:
    """`torch.cuda.Event`, whose `synchronize` is a wait that the test sees."""

    awaited = 0

    def record(self, *args: Any) -> None: ...

    def synchronize(self) -> None:
        FakeEvent.awaited += 1


class CpuGenerator(torch.Generator):
    """A generator on the CPU, whatever device is asked for."""

    def __new__(cls, device: Any = None) -> torch.Generator:
        return super().__new__(cls, "cpu")  # pyright: ignore  # its stub has no argument


@contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """Within, there is a fake GPU with its generators and events."""
    gpu = FakeGpu()
    with (
        patch.object(torch, "Generator", CpuGenerator),
        patch.object(torch.cuda, "_lazy_init", lambda: None),
        patch.object(torch.cuda.random, "_lazy_init", lambda: None),
        patch.object(torch.cuda.random, "_lazy_call", lambda call, **_: call()),
        patch.object(torch.cuda, "default_generators", (torch.Generator(),)),
        patch.object(torch.cuda, "Event", FakeEvent),
        patch.object(torch.autograd, "_engine_run_backward", backward),
        patch.object(torch.Tensor, "pin_memory", lambda tensor, *_: gpu.pin(tensor)),
        lifted_tensors(),
        gpu,
    ):
        yield gpu


@contextmanager
def lifted_tensors() -> Iterator[None]:
    """Let `torch.tensor(.., device="cuda:0")` make a tensor on the CPU and copy it, as it does."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
