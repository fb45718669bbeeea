"""What a check of a mixing method saw; of an exception, where it passed and what to do about it."""

import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import FrameSummary, extract_tb

from mixlab.errors import UserError
from mixlab.mixing import Method

# Where checks fail for one reason, the remedy is that of the first of them here: what fails with
# 32 bits in the picture's own size has nothing to do with the 16 bits that fail as well.
REMEDIES = {
    "attributes": "give the class num_partners and label_differs",
    "masks": "return a Blend of the masks and sources of each row, for images (R, 3, 12, 20)",
    "sizes": "take height and width from images.shape[-2:], in that order",
    "guests": "take the number of rows from partners, and read rows by source",
    "one row": "let a row without another be its own partner",
    "partners": "take (B,) or more columns than num_partners, and None for permutations",
    "pickling": "define the class in a module, and keep no functions or files in its fields",
    "dtypes": "compute in float32 or in the dtype of the images",
}
SIGNATURE = "write def __call__(self, images, targets, rng, partners=None)"
IN_OWN_CODE = "fix it there"  # of an exception that every batch raises, no more is known
GENERATOR = "rng is a numpy.random.Generator: draw with rng.random(...) and torch.from_numpy"


@dataclass(frozen=True)
class Finding:
    """What one check saw: a value if it passed, else the value and the remedy.

    Checks that fail for one reason have the same `cause`, as all do if the method cannot be called.
    It is `raised` where an exception of the method's ended the check, which passed `at` a line of
    the user's, if it did.
    """

    name: str
    passed: bool
    said: str
    cause: str = ""
    raised: bool = False
    at: str = ""


def found(name: str, check: Callable[[Method], str], method: Method) -> Finding:
    """Run one check; what is raised has no remedy yet, see `with_remedies`."""
    try:
        return Finding(name, True, check(method))
    except UserError as error:
        return Finding(name, False, str(error), numberless(str(error)))
    except Exception as error:
        said, at = f"raised {type(error).__name__}: {clause(error)}", place(error, method)
        return Finding(name, False, said + at, numberless(said) + at, raised=True, at=at)


def numberless(said: str) -> str:
    """A message without its numbers: a batch of one row is another shape, but the same reason."""
    return re.sub(r"\d+", "#", said)


def clause(error: Exception) -> str:
    """The first line of a message; of torch's refusals, without the calls that it would take."""
    first, *_ = [*str(error).strip().splitlines(), ""]
    return first.removesuffix(", but expected one of:")


def place(error: Exception, method: Method) -> str:
    """Where in the user's code an exception was raised, or called what raised it.

    As ` (my_mix.py, line 7)`: in the file of the method's class, or in one that it imports.
    """
    file = getattr(sys.modules.get(type(method).__module__), "__file__", None)
    own = [at for at in extract_tb(error.__traceback__) if at.filename == file or is_own(at)]
    return f" ({at_line(own[-1])})" if own else ""


def is_own(at: FrameSummary) -> bool:
    """Whether a line is neither mixlab's nor a library's."""
    installed = ("<", str(Path(__file__).parent), str(Path(inspect.__file__).parent))
    return not at.filename.startswith(installed) and "site-packages" not in at.filename


def at_line(at: FrameSummary) -> str:
    """`my_mix.py, line 7`."""
    return f"{Path(at.filename).name}, line {at.lineno}"


def with_remedies(findings: Sequence[Finding]) -> list[Finding]:
    """What was raised, with the remedy of its cause, which depends on all the checks it failed."""
    failed = defaultdict(set)
    for each in findings:
        failed[each.cause].add(each.name)
    return [
        replace(each, said=f"{each.said}; {remedy(each, failed[each.cause])}")
        if each.raised
        else each
        for each in findings
    ]


def remedy(finding: Finding, names: set[str]) -> str:
    """What to do about an exception that fails the checks of these names."""
    cause = finding.cause
    if "numpy.random" in cause and "Generator" in cause:
        return GENERATOR
    if "__call__() takes" in cause or "__call__() missing" in cause:
        return SIGNATURE
    kind = next((name for name in REMEDIES if name in names), "masks")
    return IN_OWN_CODE if kind == "masks" and finding.at else REMEDIES[kind]
