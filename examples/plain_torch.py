"""Mixing in a loop of your own: `python examples/plain_torch.py`.

The line with `mixer(` is all that mixing adds to the loop.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mixlab.mixing import CutMix, Mixer, Policy


def main(epochs: int = 10, seed: int = 0) -> float:
    """Train on scikit-learn's digits; returns the accuracy on the last 360 of them."""
    torch.manual_seed(seed)
    images, labels = map(torch.tensor, load_digits(return_X_y=True))
    images = images.float().view(-1, 1, 8, 8) / 16
    loader = DataLoader(TensorDataset(images[:-360], labels[:-360]), batch_size=64, shuffle=True)

    features = nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()
    network = nn.Sequential(*features, nn.Flatten(), nn.Linear(64 * 4 * 4, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    mixer = Mixer(CutMix(alpha=1.0), Policy(probability=0.5), num_classes=10, seed=seed)

    for epoch in range(epochs):
        for number, (x, y) in enumerate(loader):
            x, y = mixer(x, y, epoch=epoch, batch=number)  # y: the share of each class, (B, 10)
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()

    with torch.no_grad():
        right = network(images[-360:]).argmax(1) == labels[-360:]
    return right.float().mean().item()


if __name__ == "__main__":
    print(f"test accuracy {main():.3f}")
