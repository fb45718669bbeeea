"""The contract of mixing methods, as checks that say what they saw and what to do about it."""

import pickle
import random
import time
from collections.abc import Callable, Collection

import numpy as np
import torch
from torch import Tensor, nn

from mixlab.errors import UserError
from mixlab.findings import Finding, found, with_remedies
from mixlab.mixing import Blend, Method, bind
from mixlab.mixing.masks import painted
from mixlab.mixing.promise import CLOSE, check_finite, check_promise, check_sums, from_to

ROWS, NUM_GUESTS, PICTURE = 8, 4, (12, 20)
MOST_ROWS = 64  # and classes, so that each row has its own
SEEDS = range(5)
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)  # the likeliest first
SLOW = 500  # copies of the batch; a look at pictures or the network has a cost of its own


class TrialNetwork(nn.Module):
    """The same small network each time: images (R, 3, H, W) of any size to MOST_ROWS logits."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng([]):  # or the caller would draw otherwise
            torch.default_generator.manual_seed(0)
            self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Tanh())
            self.head = nn.Linear(8, MOST_ROWS)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images.float()).mean((2, 3)))


def examine(method: Method, leave_out: Collection[str] = ()) -> list[Finding]:
    """Run the checks on a method, but those left out; its exceptions are findings, too.

    A method that looks at the network is bound to a small one, unless it has one of its own.
    """
    checks = {name: check for name, check in CHECKS.items() if name not in leave_out}
    return with_remedies([found(name, bound(check), method) for name, check in checks.items()])


def bound(check: Callable[[Method], str]) -> Callable[[Method], str]:
    """The check with a network for its method; binding is the method's code, and may raise."""
    return lambda method: check(bind(method, TrialNetwork()))


def random_rows(
    num_rows: int = ROWS, size: tuple[int, ...] = PICTURE, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Images (R, 3, *size) in [0, 1), the same in each call, and targets (R, MOST_ROWS)."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(num_rows, 3, *size, generator=generator)
    return images.to(dtype), torch.eye(num_rows, MOST_ROWS)


def partners_for(method: Method, num_rows: int, total: int, seed: int) -> np.ndarray:
    """Partners as a policy gives them: (B,) or (B, num_partners) among `total` rows."""
    rng = np.random.default_rng(seed)
    count = max(1, method.num_partners)
    drawn = np.stack([rng.permutation(total)[:num_rows] for _ in range(count)], axis=1)
    return drawn[:, 0] if count == 1 else drawn


def blend_of(
    method: Method, images: Tensor, targets: Tensor, seed: int = 0, num_rows: int | None = None
) -> Blend:
    """The blend at a seed; raises UserError if the method returns something else."""
    partners = partners_for(method, num_rows or len(images), len(images), seed)
    return is_blend(method(images, targets, np.random.default_rng(seed), partners))


def is_blend(made: object) -> Blend:
    """What a method returned, if it is a blend."""
    if not isinstance(made, Blend):
        raise UserError(f"returned {type(made).__name__}; return a mixlab.mixing.Blend")
    return made


def check_sources(blend: Blend, total: int) -> None:
    """Raise UserError unless the sources are among the `total` rows that there are."""
    if blend.source.dtype != torch.int64:
        raise UserError(f"source is of {blend.source.dtype}; make it int64, the numbers of rows")
    low, high = int(blend.source.min()), int(blend.source.max())
    if low < 0 or high >= total:
        raise UserError(f"sources from {low} to {high} of {total} rows; number the rows from 0")


def same(one: Blend, other: Blend) -> bool:
    """Whether two blends have the same numbers; nan is nan."""
    masks = [painted(each.mask, "cpu") for each in (one, other)]
    pairs = [(one.source, other.source), (one.share, other.share), tuple(masks)]
    for extra in ((one.warp, other.warp), (one.moves, other.moves)):
        if (extra[0] is None) != (extra[1] is None):
            return False
        if extra[0] is not None:
            pairs.append(extra)
    return all(
        one.shape == other.shape and torch.isclose(one, other, 0, 0, equal_nan=True).all()
        for one, other in pairs
    )


def attributes(method: Method) -> str:
    count, differs = method.num_partners, method.label_differs
    if type(count) is not int or count < 0:
        raise UserError(f"num_partners is {count!r}; make it a whole number from 0")
    if differs is not None and (type(differs) is not str or len(differs) < 10):
        raise UserError(f"label_differs is {differs!r}; make it None or a sentence")
    return f"num_partners={count}, label_differs={differs!r}"


def masks(method: Method) -> str:
    low, high = float("inf"), -float("inf")
    for seed in SEEDS:
        blend = blend_of(method, *random_rows(), seed)
        check_finite(method, blend)
        mask = painted(blend.mask, "cpu").float()
        total = mask.sum(1)
        if mask.min() < -CLOSE:
            raise UserError(f"a mask is {mask.min():.3g} at a pixel; keep masks in [0, 1]")
        low, high = min(low, total.min().item()), max(high, total.max().item())
    check_sums(low, high, may_erase=bool(method.label_differs))
    return f"sum to {from_to(low, high)}"


def shares(method: Method) -> str:
    masks(method)  # shares are their means, and a mask that is wrong says so
    for seed in SEEDS:
        blend = blend_of(method, *random_rows(), seed)
        check_promise(method, blend)
        if not method.label_differs:
            check_planes(blend)
    return "said in label_differs" if method.label_differs else "the means of the masks"


def check_planes(blend: Blend) -> None:
    """Raise UserError if more is seen of a row than the label says, whatever its mask says.

    Each row is a plane of its own, so that what the mixture shows of it can be measured.
    """
    check_sources(blend, ROWS)
    classes = torch.eye(ROWS)
    planes = classes[:, :, None, None].expand(ROWS, ROWS, *PICTURE)
    mixed, labels = blend.mix(planes, classes)
    seen = mixed.mean((2, 3))
    if (seen - labels).max() > CLOSE:
        row, column = divmod(int((seen - labels).argmax()), ROWS)
        raise UserError(
            f"labels row {row} with {labels[row, column]:.3g} of row {column}, of which its "
            f"picture shows {seen[row, column]:.3g}; leave share out, or say in label_differs why "
            "it differs"
        )


def sources(method: Method) -> str:
    for seed in SEEDS:
        blend = blend_of(method, *random_rows(), seed)
        check_sources(blend, ROWS)
        source = blend.source
        if len(source) != ROWS:
            got = tuple(source.shape)
            raise UserError(f"source is {got}; make it ({ROWS}, K) for {ROWS} rows")
        if not torch.equal(source[:, 0], torch.arange(ROWS)):
            got = source[:, 0].tolist()
            raise UserError(f"column 0 of source is {got}; make it the rows themselves, 0, 1, ...")
    return f"{ROWS} rows, {source.shape[1]} sources each"  # pyright: ignore


def determinism(method: Method) -> str:
    for seed in SEEDS:
        if not same(*(blend_of(method, *random_rows(), seed) for _ in range(2))):
            global_generators(method)  # which would be the reason
            raise UserError(
                f"two calls with a generator of seed {seed} differ; draw from rng alone, and keep "
                "no state between calls"
            )
    return f"two calls agree at {len(SEEDS)} seeds"


def global_generators(method: Method) -> str:
    def states() -> dict[str, bytes]:
        return {
            "numpy": pickle.dumps(np.random.get_state()),
            "torch": torch.get_rng_state().numpy().tobytes(),
            "random": pickle.dumps(random.getstate()),
        }

    before = states()
    for seed in SEEDS:
        blend_of(method, *random_rows(), seed)
    after = states()
    if changed := [name for name in before if before[name] != after[name]]:
        raise UserError(f"draws from the global generator of {' and '.join(changed)}; use rng")
    return "numpy's, torch's and Python's are unchanged"


def inputs(method: Method) -> str:
    for seed in SEEDS:
        images, targets = random_rows()
        partners = partners_for(method, ROWS, ROWS, seed)
        given = {"images": images, "targets": targets, "partners": partners}
        kept = {name: pickle.dumps(np.asarray(value)) for name, value in given.items()}
        method(images, targets, np.random.default_rng(seed), partners)
        changed = [name for name in given if pickle.dumps(np.asarray(given[name])) != kept[name]]
        if changed:
            raise UserError(f"writes into {' and '.join(changed)}; clone before writing")
    return "images, targets and partners are unchanged"


def dtypes(method: Method) -> str:
    for dtype in DTYPES:
        check_mixture(method, *random_rows(dtype=dtype), str(dtype).removeprefix("torch."))
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)


def sizes(method: Method) -> str:
    tried = ((12, 20), (20, 12), (17, 16))
    for height, width in tried:
        check_mixture(method, *random_rows(size=(height, width)), f"{height} x {width} pixels")
    return ", ".join(f"{height} x {width}" for height, width in tried)


def one_row(method: Method) -> str:
    check_mixture(method, *random_rows(1), "a batch of one row")
    return "stays a row of its class"


def check_mixture(method: Method, images: Tensor, targets: Tensor, what: str) -> None:
    """Raise UserError unless mixing keeps shape, dtype and finite numbers."""
    for seed in SEEDS:
        blend = blend_of(method, images, targets, seed)
        check_sources(blend, len(images))
        if images.dtype == torch.float32:  # of others the dtype is the reason
            check_finite(method, blend)
        mixed, labels = blend.mix(images, targets)
        if mixed.shape != images.shape or mixed.dtype != images.dtype:
            got = f"{tuple(mixed.shape)} of {mixed.dtype}"
            raise UserError(f"{what} became {got}; return masks (B|1, K, H, W) of the picture")
        if not mixed.isfinite().all() or not labels.isfinite().all():
            raise UserError(f"{what} became nan or inf; compute in float32 and guard divisions")


def rows_beyond(method: Method) -> str:
    images, targets = random_rows(ROWS + NUM_GUESTS)
    for seed in SEEDS:
        blend = blend_of(method, images, targets, seed, num_rows=ROWS)
        check_sources(blend, ROWS + NUM_GUESTS)
        if blend.num_rows != ROWS:
            partners(method)  # a method that draws its own has as many as there are images
            raise UserError(
                f"{ROWS} rows of partners for {ROWS + NUM_GUESTS} images gave {blend.num_rows} "
                "rows; return as many rows as partners has"
            )
        blend.mix(images, targets)
    return f"{ROWS} rows and {NUM_GUESTS} guests"


def partners(method: Method) -> str:
    """Partners stay within halves of the batch, so sources of other halves are of own making."""
    images, targets = random_rows()
    half = np.arange(ROWS) // (ROWS // 2)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        count = max(1, method.num_partners)
        given = np.stack(
            [np.concatenate([rng.permutation(4), 4 + rng.permutation(4)]) for _ in range(count)], 1
        )
        blend = is_blend(method(images, targets, rng, given))
        check_sources(blend, ROWS)
        if (half[blend.source.numpy()] != half[:, None]).any():
            raise UserError(
                f"sources are not among the {count} given partners of a row; use the columns of "
                "partners, and say in num_partners how many"
            )
        method(images, targets, rng, np.concatenate([given, given[:, :1]], axis=1))
        method(images, targets, rng)
    return f"{method.num_partners} given, more given, none given"


def pickling(method: Method) -> str:
    copy = pickle.loads(pickle.dumps(method))
    if not same(blend_of(method, *random_rows()), blend_of(copy, *random_rows())):
        determinism(method)  # what differs from itself differs from a copy
        raise UserError("a pickled copy draws otherwise; keep all settings in fields of the class")
    return "a copy draws the same"


def speed(method: Method) -> str:
    images, targets = random_rows(MOST_ROWS, (32, 32))

    def mix() -> None:
        blend = blend_of(method, images, targets)
        check_sources(blend, MOST_ROWS)
        blend.mix(images, targets)

    def fastest(work: Callable[[], object], times: int) -> float:
        spent = []
        while len(spent) < times and sum(spent) < 1:
            began = time.perf_counter()
            work()
            spent.append(time.perf_counter() - began)
        return min(spent)

    ratio = fastest(mix, 5) / fastest(images.clone, 20)
    took = f"{ratio:.0f} copies of a batch of 64 x 3 x 32 x 32"
    if ratio > SLOW and looks(method):
        return f"{took}; a method that looks at pictures or the network may be slow"
    if ratio > SLOW:
        raise UserError(
            f"takes {ratio:.0f} copies of the batch, more than {SLOW}; replace loops over rows or "
            "pixels"
        )
    return took


def looks(method: Method) -> bool:
    """Whether a method, or one that it chooses from, looks at pictures or at the network."""
    if hasattr(method, "methods"):
        return any(map(looks, getattr(method, "methods", ())))
    return hasattr(method, "saliency") or hasattr(method, "bind")


CHECKS: dict[str, Callable[[Method], str]] = {
    "attributes": attributes, "masks": masks, "shares": shares, "sources": sources,
    "determinism": determinism, "global generators": global_generators, "inputs": inputs,
    "dtypes": dtypes, "sizes": sizes, "one row": one_row, "guests": rows_beyond,
    "partners": partners, "pickling": pickling, "speed": speed,
}  # fmt: skip
