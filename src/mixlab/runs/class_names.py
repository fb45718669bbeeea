"""The name of a class as configurations write it: CutMix is cutmix, HardPatchUp patchup_hard."""

import re

NAMED_OTHERWISE = {  # classes whose file in configs/mixing has another name than theirs
    "HardPatchUp": "patchup_hard", "SoftPatchUp": "patchup_soft", "PointMixup": "point_mixup",
    "ManifoldMixup": "manifold_mixup", "VHMixup": "vh_mixup", "Random2x2": "random_2x2",
    "BothClasses": "mixup_both_classes",
}  # fmt: skip


def config_name(target: str) -> str:
    """`mixlab.mixing.methods.OneOf` becomes one_of, and CutMix cutmix."""
    name = target.rsplit(".", 1)[-1]
    snake = re.sub(r"(?<=[a-z])(?=[A-Z](?!ix))", "_", name).lower()
    return NAMED_OTHERWISE.get(name, snake)
