"""The files that a project needs beside its code parse, and name what exists."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
CONFIGS = [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml", ROOT / "mkdocs.yml"]


def parsed(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_yaml_parses(path: Path) -> None:
    assert isinstance(parsed(path), dict)


def test_the_citation_has_what_the_format_requires() -> None:
    citation = parsed(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["authors"] == [{"name": "mixlab contributors"}]
    pyproject = (ROOT / "pyproject.toml").read_text()
    for key in ("version", "license"):
        assert f'{key} = "{citation[key]}"' in pyproject


def test_every_field_of_a_form_has_a_name_of_its_own() -> None:
    forms = [form for form in map(parsed, FORMS) if "body" in form]
    assert len(forms) == 2
    for form in forms:
        names = [field["id"] for field in form["body"]]
        assert len(set(names)) == len(names) and form["name"] and form["description"]


def test_what_the_guide_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)", text)
    named = re.findall(r"`(?:bash |python )?((?:src|configs|tests|scripts|\.ci)/[\w./-]*)", text)
    assert len(links) > 8 and len(named) > 15
    missing = [name for name in (*links, *named) if not (ROOT / name).exists()]
    assert not missing


def test_ci_runs_what_is_run_by_hand() -> None:
    jobs = parsed(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    in_container = [command for command in commands if command.startswith("docker ")]
    assert [command.split()[1] for command in in_container] == ["build", "run"]
    assert [each for each in commands if each not in in_container] == [
        "bash .ci/run", "bash scripts/test.sh",
    ]  # fmt: skip
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert oldest and jobs["tests"]["strategy"]["matrix"]["python"][0] == oldest[1]
