"""Why a network cannot serve a way of mixing: the same words when planned and when training.

Imports nothing, for callbacks use it where Lightning is all that is installed.
"""


def ruled_out_by_compile(what: str) -> str:
    return (
        f"{what} reaches into the network in each training step, which torch.compile rules out; "
        "set model.compile=false"
    )


def no_class_token(network: str) -> str:
    return (
        f"{network} has no class token whose attention could weigh labels; use model=timm "
        "model.name=vit_tiny_patch16_224 or another that classifies by a class token, or "
        "mixing=cutmix"
    )
