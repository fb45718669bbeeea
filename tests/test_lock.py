"""requirements.lock, the locked install, and the container that uses both."""

import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BLOCKS = re.findall(r"^[a-z0-9].*(?:\n[ ]+.*)*", LOCK, re.MULTILINE)
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# Each notes the words it was called with; `venv` makes the program that setup.sh looks for.
STUB = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >>"$SAID"
for word in "$@"; do [[ $word == *.lock || $word == */tmp.* ]] && cat "$word" >>"$SAID.lock"; done
if [[ "$1 $2" == "-m venv" || $1 == venv ]]; then
  mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python"
fi
exit 0
"""


def pins(python: str) -> dict[str, Version]:
    """What the lock installs on Linux under a version of Python."""
    place = {"python_full_version": f"{python}.0", "python_version": python,
             "sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64",
             "implementation_name": "cpython", "platform_python_implementation": "CPython",
             "os_name": "posix"}  # fmt: skip
    found = {}
    for block in BLOCKS:
        one = Requirement(block.split("\\")[0].strip())
        if one.marker is None or one.marker.evaluate(place):
            assert one.name not in found, f"{one.name} twice under {python}"
            found[canonicalize_name(one.name)] = Version(str(one.specifier).removeprefix("=="))
    return found


def wanted(extra: str) -> list[Requirement]:
    """What the project asks for with an extra, and with those that the extra names."""
    listed = PROJECT["project"]["optional-dependencies"]
    found = []
    for one in map(Requirement, listed[extra]):
        if one.name == "mixlab":
            found += [each for name in sorted(one.extras) for each in wanted(name)]
        else:
            found.append(one)
    return [*found, *map(Requirement, PROJECT["project"]["dependencies"])]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_has_all_that_the_project_asks_for_at_allowed_versions(python: str) -> None:
    found = pins(python)
    builds = map(Requirement, PROJECT["build-system"]["requires"])
    for one in (*wanted("dev"), *builds):
        assert found[canonicalize_name(one.name)] in one.specifier, one


def test_every_entry_has_one_version_and_hashes_and_there_is_no_address() -> None:
    assert len(BLOCKS) > 100
    for block in BLOCKS:
        first, *hashes = re.split(r" \\\n +", block.strip())
        assert re.match(r"[a-z0-9.-]+==[^ ;]+( ;|$)", first), first
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes)
    assert not re.search(r"://|--(extra-)?index|--find-links|\.(org|com|io)\b| @ |\+cpu", LOCK)
    assert len(LOCK) < 1_000_000


def stubs(folder: Path, *names: str) -> Path:
    """A folder of programs that do nothing but note how they were called."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(STUB)
        (folder / name).chmod(stat.S_IRWXU)
    return folder


def set_up(place: Path, *names: str, words: tuple[str, ...] = (), locked: str = "") -> tuple:
    """Run setup.sh of a copy of the project; its exit status, the calls, and the lock they saw."""
    (place / "scripts").mkdir()
    for name in ("scripts/setup.sh", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, place / name)
    path = f"{stubs(place / 'bin', *names)}:/usr/bin:/bin"
    said = place / "said.txt"
    environment = {"PATH": path, "SAID": str(said), "LOCKED": locked, "PYTHON": sys.executable}
    if "python" in names:
        environment["PYTHON"] = str(place / "bin" / "python")
    done = subprocess.run(
        ["bash", place / "scripts" / "setup.sh", *words], env=environment, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    calls = said.read_text().splitlines() if said.exists() else []
    seen = Path(f"{said}.lock")
    return done, calls, seen.read_text() if seen.exists() else ""


@pytest.mark.parametrize("tool", ["uv", "python"])
def test_a_locked_setup_installs_the_lock_with_hashes_and_then_nothing_else(
    tool: str, tmp_path: Path
) -> None:
    done, calls, seen = set_up(tmp_path, tool, locked="1")
    assert done.returncode == 0, done.stderr
    installs = [call for call in calls if " install " in call]
    assert len(installs) == 2
    assert "--require-hashes --no-deps -r requirements.lock" in installs[0] and seen == LOCK
    assert installs[1].endswith("--no-deps --no-build-isolation -e .")


def test_a_locked_setup_for_cpus_takes_the_same_versions_without_cuda(tmp_path: Path) -> None:
    done, calls, seen = set_up(tmp_path, "uv", locked="cpu")
    assert done.returncode == 0, done.stderr
    first, second, _ = [call for call in calls if " install " in call]
    versions = pins("3.12")
    assert f"--torch-backend=cpu torch=={versions['torch']}" in first
    assert f" torchvision=={versions['torchvision']}" in first and "--require-hashes" in second
    left = re.findall(r"^[a-z][a-z0-9.-]*", seen, re.M)
    gone = set(re.findall(r"^[a-z][a-z0-9.-]*", LOCK, re.M)) - {*left}
    assert {"torch", "torchvision", "triton", "nvidia-cublas"} <= gone
    assert all(re.match(r"torch$|torchvision$|triton$|nvidia-|cuda-", name) for name in gone)
    assert seen.count("--hash=") > 1000


def test_without_locked_nothing_is_locked_and_a_wrong_word_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    done, calls, seen = set_up(tmp_path / "a", "uv", words=("dev",))
    assert done.returncode == 0 and calls[-1].endswith("-e .[dev]") and not seen
    wrong = (("yes", ["uv"], "LOCKED is 1, cuda or cpu, got yes"), ("cpu", [], "needs uv"))
    for locked, tools, said in wrong:
        place = tmp_path / locked
        place.mkdir()
        done, calls, _ = set_up(place, *tools, locked=locked)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
        assert not calls


@pytest.mark.slow
def test_the_project_itself_is_built_with_what_is_locked(tmp_path: Path) -> None:
    """As the last step of a locked setup does it: nothing is fetched to build an editable wheel."""
    builders = ("hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers")
    lock = tmp_path / "builders.lock"
    lock.write_text("\n".join(block for block in BLOCKS if block.startswith(builders)))
    for name in ("pyproject.toml", "README.md", "LICENSE", "src", "configs"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / ".venv"], check=True)
    python = tmp_path / ".venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--require-hashes", "-r", lock], check=True)
    subprocess.run([*install, "--no-build-isolation", "-e", tmp_path], check=True)
    found = [python, "-c", "import mixlab; print(mixlab.__file__)"]
    said = subprocess.run(found, check=True, cwd="/", capture_output=True, text=True).stdout
    assert Path(said.strip()) == tmp_path / "src" / "mixlab" / "__init__.py"


# The container


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (INSTRUCTION, words), lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2]) for line in lines]


def stage(number: int) -> list[tuple[str, str]]:
    starts = [at for at, (what, _) in enumerate(instructions()) if what == "FROM"]
    return instructions()[starts[number] : [*starts[1:], None][number]]


@pytest.mark.parametrize(("torch", "flag"), [("cuda", False), ("cpu", True)])
def test_the_steps_of_the_build_stage_run_and_install_the_lock(
    torch: str, flag: bool, tmp_path: Path
) -> None:
    """Without a container engine: its files copied, its commands run, pip and uv noted only."""
    place = tmp_path / "opt"
    for what, words in stage(0):
        if what == "COPY":
            *sources, target = words.split()
            for source in sources:
                found = ROOT / source
                goal = place / target / (found.name if target.endswith("/") else "")
                goal.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if found.is_dir() else shutil.copy
                copy(found, goal)
    environment = {
        "PATH": f"{stubs(tmp_path / 'bin', 'uv', 'pip')}:/usr/bin:/bin", "TORCH": torch,
        "SAID": str(tmp_path / "said.txt"), "PYTHON": sys.executable,
    }  # fmt: skip
    for what, words in stage(0):
        if what == "RUN":
            shell = ["/bin/sh", "-c", words]  # not every builder knows SHELL: OCI images have none
            done = subprocess.run(shell, cwd=place, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    said = (tmp_path / "said.txt").read_text()
    assert said.startswith("pip install") and "--require-hashes" in said
    assert ("--torch-backend=cpu" in said) is flag
    assert (place / "src" / "mixlab" / "train.py").is_file()
    assert (place / "configs" / "train.yaml").is_file()


def test_the_image_runs_as_a_user_and_copies_only_what_it_names() -> None:
    last = dict(stage(-1))
    assert last["USER"].isdecimal() and int(last["USER"]) > 0
    assert last["ENTRYPOINT"] == '["mixlab-train"]' and "/opt/mixlab" in last["ENV"]
    copied = {word.rstrip("/") for what, words in stage(0) if what == "COPY"
              for word in words.split()[:-1]}  # fmt: skip
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored and {line[1:] for line in ignored if line.startswith("!")} == copied
    assert not re.search(r"(?i)secret|token|password|api_key", (ROOT / "Dockerfile").read_text())
