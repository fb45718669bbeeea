"""Lets tests here and beside this folder say `from reporting.synthetic import ...`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
