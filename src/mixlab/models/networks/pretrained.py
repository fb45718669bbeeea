"""Pretrained weights for a network of timm, from its hub or a file, and what they imply."""

import difflib
import logging
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mixlab.errors import UserError

WRAPPERS = ("network.", "module.", "model.")  # what a Lightning module or DDP puts before names

HUB = ("hf_hub:", "hf-hub:", "timm/")


def check_name(name: str) -> None:
    """Raise ValueError for a name that timm does not know."""
    import timm

    if name.startswith(HUB):
        raise UserError(
            f"model.name={name} has the address of a hub in it; write "
            f"model.name={name.rpartition('/')[2]} model.pretrained=true"
        )
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.4)
        raise UserError(
            f"timm has no model {name!r}" + (f"; did you mean {', '.join(near)}?" if near else "")
        )


def pretrained_arguments(name: str, pretrained: bool | str) -> dict[str, Any]:
    """What `timm.create_model` needs to know, for True (its own weights) or the path of a file."""
    if isinstance(pretrained, bool):
        return {"pretrained": pretrained}
    import timm

    config: Any = timm.get_pretrained_cfg(name)
    weights = read_weights(Path(pretrained).expanduser())
    overlay: dict[str, Any] = {"state_dict": weights}
    head = config.classifier if isinstance(config.classifier, str) else None
    if f"{head}.weight" in weights:  # another head is left out by timm, if it knows its size
        overlay["num_classes"] = len(weights[f"{head}.weight"])
    if f"{config.first_conv}.weight" in weights:
        overlay["input_size"] = (weights[f"{config.first_conv}.weight"].shape[1], 224, 224)
    return {"pretrained": True, "pretrained_cfg_overlay": overlay}


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file, or of a checkpoint of torch's without any code in it.

    Raises:
        UserError: it is not there, or holds something else.
    """
    if not path.is_file():
        raise UserError(f"model.pretrained={path} is not there; give true or a file of weights")
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both raise whatever they stumble over
        reason = str(error).partition("\n")[0]
        if isinstance(error, UnpicklingError):  # the text advises to run the file's code
            reason = "it holds objects; save model.state_dict(), not the model"
        raise UserError(f"model.pretrained={path} is not a file of weights ({reason})") from error
    found = found.get("state_dict", found) if isinstance(found, Mapping) else {}
    weights = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    if not weights:
        raise UserError(f"model.pretrained={path} holds no weights")
    for prefix in WRAPPERS:
        inside = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        weights = inside or weights
    return weights


def create_pretrained(name: str, pretrained: bool | str, **kwargs: Any) -> nn.Module:
    """`timm.create_model` with weights; an error of the download or of the file is a sentence."""
    import timm

    # The sentence below says it once, in place of a line for each try to download.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    given = pretrained_arguments(name, pretrained)
    try:
        return timm.create_model(name, **given, **kwargs)
    except TypeError:
        raise
    except Exception as error:  # of huggingface_hub, its HTTP client, the disk, or load_state_dict
        reason = " ".join(str(error).split())[:200]
        if isinstance(pretrained, str):
            raise UserError(f"the weights in {pretrained} do not fit {name}: {reason}") from error
        raise UserError(
            f"no weights of {name}: they are not on this machine and could not be downloaded "
            f"({reason}); run it once where there is a network, set HF_HOME to the folder that has "
            "them, or give a file: model.pretrained=weights.safetensors"
        ) from error


def freeze_backbone(model: Any) -> None:
    """Keep all weights and the statistics of batch normalization, but those of the classifier."""
    from timm.utils import freeze  # pyright: ignore[reportPrivateImportUsage]

    heads = model.get_classifier()
    freeze(model)
    for head in heads if isinstance(heads, tuple) else (heads,):
        head.requires_grad_(True)


def pretrained_scale(name: str, channels: int) -> dict[str, list[float]]:
    """The mean and std of the images that timm's weights were trained on, of gray ones too."""
    import timm

    check_name(name)
    config: Any = timm.get_pretrained_cfg(name)
    scale = {"mean": list(config.mean), "std": list(config.std)}
    if channels == len(config.mean):
        return scale
    return {key: [sum(values) / len(values)] * channels for key, values in scale.items()}
