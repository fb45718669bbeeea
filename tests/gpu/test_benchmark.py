"""benchmarks/gpu.py runs in tiny sizes on the CPU, and says where there is no GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_all_its_parts_run_without_a_gpu(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    words = ["--device", "cpu", "--quick", "--minutes", "12", "--output", str(file)]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(file.read_text())
    assert report["correctness"]["passed"] > 10 and not report["correctness"]["failures"]
    (shape,) = report["mixing"].values()
    assert shape["copy"]["copies"] == 1 and shape["mixup"]["us"] > 0 and "timm elem" in shape
    assert all(each["steps_per_second"] > 0 for each in report["steps"].values())
    assert len(report["recipes"]) == 4
    for figures in report["recipes"].values():
        assert figures["epochs"] == 1 and figures["data"] == "random pixels"
    assert f"epochs {figures['epochs']}" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr == "there is no GPU here; `--device cpu --quick` tries the code\n"
