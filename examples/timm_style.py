"""A script with timm's options: `python examples/timm_style.py --mixup 0 --cutmix 1`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

import timm
import torch
from sklearn.datasets import load_digits
from timm.loss import SoftTargetCrossEntropy
from torch.utils.data import DataLoader, TensorDataset

from mixlab.mixing import CutMix, Mixer, Mixup, OneOf, Policy

parser = ArgumentParser(description=__doc__)
parser.add_argument("--mixup", type=float, default=0.8, help="alpha; 0 for none")
parser.add_argument("--cutmix", type=float, default=1.0, help="alpha; 0 for none")
parser.add_argument("--mixup-prob", type=float, default=1.0)
parser.add_argument("--mixup-switch-prob", type=float, default=0.5, help="chance of CutMix")
parser.add_argument("--mixup-mode", choices=["batch", "elem"], default="batch")


def create_mixer(args: Namespace, num_classes: int, seed: int) -> Mixer:
    """What `timm.data.Mixup(args.mixup, args.cutmix, prob=args.mixup_prob, ...)` makes."""
    each = args.mixup_mode == "elem"  # draw for each image, or once for the batch
    switch = args.mixup_switch_prob if args.mixup and args.cutmix else float(args.cutmix > 0)
    kinds = (Mixup, args.mixup, 1 - switch), (CutMix, args.cutmix, switch)
    methods = {kind(alpha, each): weight for kind, alpha, weight in kinds if alpha}
    method = OneOf([*methods], [*methods.values()], per_row=each)
    policy = Policy(args.mixup_prob, gate="row" if each else "batch")
    return Mixer(method, policy, num_classes, seed=seed)


def main(words: Sequence[str] | None = None, epochs: int = 3, seed: int = 42) -> float:
    """Train on scikit-learn's digits; returns the accuracy on the last 360 of them."""
    args = parser.parse_args(words)
    torch.manual_seed(seed)
    images, labels = map(torch.tensor, load_digits(return_X_y=True))
    images = torch.kron(images.float().view(-1, 1, 8, 8) / 16, torch.ones(4, 4))  # 32x32 pixels
    loader = DataLoader(TensorDataset(images[:-360], labels[:-360]), batch_size=64, shuffle=True)
    model = timm.create_model("test_resnet", in_chans=1, num_classes=10)
    mixer, loss_fn = create_mixer(args, 10, seed), SoftTargetCrossEntropy()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for epoch in range(epochs):
        for number, (x, y) in enumerate(loader):
            x, y = mixer(x, y, epoch=epoch, batch=number)  # timm: x, y = mixup_fn(x, y)
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
    with torch.no_grad():
        return (model.eval()(images[-360:]).argmax(1) == labels[-360:]).float().mean().item()


if __name__ == "__main__":
    print(f"test accuracy {main():.3f}")
