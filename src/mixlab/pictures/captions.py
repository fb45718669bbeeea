"""Captions: soft labels in words, and texts cut to a width."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from PIL import ImageDraw, ImageFont
from torch import Tensor

INK, FAINT, ACCENT = "#1c1e21", "#6f7680", "#c2410c"
A_LINE = 3  # classes named on one line
LEAST = 0.005  # smaller shares would print as 0.00 and are left out


class Line(NamedTuple):
    """One line of a caption: the first of `texts` that fits is shown, else the last, cut off."""

    texts: Sequence[str]
    color: str = INK
    size: int = 12

    def fitted(self, width: int) -> str:
        """The text shown in `width` pixels."""
        whole = (text for text in self.texts if text_width(text, self.size) <= width)
        return next(whole, None) or cut(self.texts[-1], width, self.size)


def describe_label(
    target: Tensor,
    class_names: Sequence[str] | None = None,
    *,
    most: int = A_LINE,
    longest: int = 40,
    digits: int = 2,
    own: Tensor | None = None,
) -> str:
    """Write a soft label (num_classes,) in words, largest share first: "0.70 cat + 0.30 dog".

    For a mask (num_classes, H, W), shares of its area.
    At most `most` classes are named, each by at most `longest` letters; shares have `digits`.
    Of equal shares that of the row's `own` label comes first.
    """
    named = shares_by_name(target, class_names, most=most, longest=longest, digits=digits, own=own)
    return " + ".join(named) or "no label"


def shares_by_name(
    target: Tensor,
    class_names: Sequence[str] | None = None,
    *,
    most: int = A_LINE,
    longest: int = 40,
    digits: int = 2,
    own: Tensor | None = None,
) -> list[str]:
    """The parts of a soft label: ["0.70 cat", "0.30 dog"], and "..." for more than `most`."""
    first = of_classes(target if own is None else own).argsort(descending=True, stable=True)
    rounded = of_classes(target)[first].double().mul(10**digits).round()
    classes = first[rounded.argsort(descending=True, stable=True)]
    shares = of_classes(target)[classes]
    kept = [(s, c) for s, c in zip(shares.tolist(), classes.tolist(), strict=True) if s >= LEAST]
    words = [f"{s:.{digits}f} {class_name(c, class_names, longest)}" for s, c in kept[:most]]
    return [*words, "..."] if len(kept) > most else words


def of_classes(target: Tensor) -> Tensor:
    """The classes' weights (num_classes,) of a label; of a mask (num_classes, H, W), by area."""
    return target if target.ndim == 1 else target.float().flatten(1).mean(1)


def class_name(number: int, class_names: Sequence[str] | None, longest: int = 40) -> str:
    """A class name on one line; in quotes where it could be mistaken for a share."""
    name = " ".join(str(class_names[number] if class_names else number).split())
    name = name if len(name) <= longest else f"{name[: longest - 1]}."
    return f"'{name}'" if name[:1].isdigit() else name


def given_and_true(given: int, true: int, class_names: Sequence[str] | None) -> str:
    """A wrong label and the right one: "7 (true 1)"."""
    said, right = (class_name(number, class_names).strip("'") for number in (given, true))
    return f"{said} (true {right})"


def label_line(
    target: Tensor, class_names: Sequence[str] | None = None, own: Tensor | None = None
) -> Line:
    """A soft label on one line, with shorter names where the whole ones do not fit."""
    lengths = range(40, 4, -3)
    return Line([describe_label(target, class_names, longest=n, own=own) for n in lengths])


def label_wrapped(
    target: Tensor, class_names: Sequence[str] | None = None, own: Tensor | None = None
) -> list[Line]:
    """A soft label on one line, or on two of three classes each: several labels mix into more."""
    every = [
        shares_by_name(target, class_names, most=2 * A_LINE, longest=n, own=own)
        for n in range(40, 4, -3)
    ]
    if len(every[0]) <= A_LINE:
        return [label_line(target, class_names, own)]
    first = Line([f"{' + '.join(parts[:A_LINE])} +" for parts in every])
    return [first, Line([" + ".join(parts[A_LINE:]) for parts in every])]


def label_lines(
    target: Tensor, class_names: Sequence[str] | None = None, own: Tensor | None = None
) -> list[Line]:
    """A soft label with one line per class, for narrow tiles."""
    return [Line([part]) for part in shares_by_name(target, class_names, own=own) or ["no label"]]


def text_width(text: str, size: int) -> float:
    """Pixels that a text takes."""
    words = text.split(" ")
    return sum(map(font(size).getlength, words)) + space_width(size) * (len(words) - 1)


def space_width(size: int) -> int:
    """Pixels between two words: a third of the size, where the font has two of them at 11."""
    return max(round(size / 3), int(font(size).getlength(" ")))


def write(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, colour: str, size: int
) -> None:
    """Draw a text as wide as `text_width` says, word by word."""
    left, top = place
    for word in text.split(" "):
        pen.text((left, top), word, fill=colour, font=font(size))
        left += font(size).getlength(word) + space_width(size)


def cut(text: str, width: int, size: int) -> str:
    """As much of a text as fits, then "..."."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}...", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}..."


@lru_cache
def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font, so that a picture looks the same on every machine."""
    return ImageFont.load_default(size)
