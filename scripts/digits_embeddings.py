"""Write small embeddings: scikit-learn's digits as X (1797, 8, 16), eight tokens, and y (1797,).

python scripts/digits_embeddings.py data/embeddings.npz
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

path = Path(sys.argv[1])
path.parent.mkdir(parents=True, exist_ok=True)
bunch = load_digits()
# Each line of an image is a token; a fixed random matrix embeds it in 16 dimensions.
embed = np.random.default_rng(0).normal(size=(8, 16))
tokens = np.einsum("ntp,pd->ntd", bunch.images / 16, embed)  # pyright: ignore
place = np.random.default_rng(1).normal(size=(8, 16))  # or their mean would forget the order
np.savez(path, X=np.tanh(tokens + place), y=bunch.target)  # pyright: ignore
print(f"{path}: X {tokens.shape}, y {bunch.target.shape}")  # pyright: ignore
