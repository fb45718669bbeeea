"""Write a CSV of image paths, labels and splits for a folder with one folder of JPEGs a class.

    python scripts/folder_to_csv.py data/flowers5 --classes 4 --rows 557

writes data/flowers5.csv: 557 images of the first four classes in random order, always the same; the
first four fifths train, the rest test.
"""

import argparse
import csv
import random
from pathlib import Path


def rows(folder: Path, num_classes: int | None, count: int | None) -> list[tuple[str, str]]:
    """Paths relative to the folder above, and classes, in an order that is the same every time."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())[:num_classes]
    found = [
        (str(image.relative_to(folder.parent)), each.name)
        for each in classes
        for image in sorted(each.glob("*.jpg"))
    ]
    if not found:
        raise SystemExit(f"{folder} has no class folders with .jpg files; name one that has")
    random.Random(0).shuffle(found)
    return found[:count]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classes", type=int, help="the first so many (default: all)")
    parser.add_argument("--rows", type=int, help="so many images (default: all)")
    parser.add_argument("--output", type=Path, help="default: the folder's name with .csv")
    options = parser.parse_args()
    found = rows(options.folder, options.classes, options.rows)
    num_train = int(0.8 * len(found))
    output = options.output or options.folder.with_suffix(".csv")
    with open(output, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "split"])
        for number, (image, label) in enumerate(found):
            writer.writerow([image, label, "train" if number < num_train else "test"])
    print(f"{output}: {num_train} rows train, {len(found) - num_train} test")


if __name__ == "__main__":
    main()
