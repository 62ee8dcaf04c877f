"""The documentation names everything there is, and nothing else."""

import re
import tomllib
from pathlib import Path

import pytest

from fhirserver.cli import application
from fhirserver.operation import OPERATIONS
from fhirserver.settings import Settings

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "examples" / "README.md"])
OPERATIONS_PAGE = (DOCS / "operations.md").read_text()
README = (ROOT / "README.md").read_text()


def section(page, title):
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text):
    rows = re.findall(r"^\| (.+?) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def default(field):
    if isinstance(field.default, tuple):
        return ",".join(field.default) or None
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return None if field.default is None else str(field.default)


def test_every_setting_is_documented_with_its_default_and_meaning():
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) \| (.+) \|$", section(OPERATIONS_PAGE, "Settings"), re.M
    )
    told = {name: (shown.strip().strip("`") or None, text) for name, shown, text in rows}
    fields = Settings.model_fields
    assert told == {n: (default(field), field.description) for n, field in fields.items()}


def test_every_command_is_documented_and_in_the_readme():
    commands = {command.callback.__name__ for command in application.registered_commands}
    commands |= {group.typer_instance.info.name for group in application.registered_groups}
    assert set(first_cells(section(OPERATIONS_PAGE, "Commands"))) == commands
    for command in commands:
        assert f"`fhirserver {command}" in README


def test_every_operation_is_documented():
    told = set(first_cells(section(OPERATIONS_PAGE, "Operations")))
    assert told == {f"${code}" for code in OPERATIONS}


def test_every_operation_is_in_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    for code in OPERATIONS:
        assert f"`${code}`" in changelog


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_documentation_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", t).lower().replace(" ", "-") for t in titles}


def test_how_to_pages_are_all_listed():
    folder = DOCS / "how-to"
    listed = set(re.findall(r"\]\((\S+\.md)\)", (folder / "README.md").read_text()))
    assert listed == {page.name for page in folder.glob("*.md")} - {"README.md"}


def test_rooms_on_the_architecture_page_are_those_there_are():
    text = (DOCS / "architecture.md").read_text()
    for room in (ROOT / "fhirserver").iterdir():
        if room.name.startswith("_") or (not (room / "__init__.py").exists() and room.is_dir()):
            continue
        assert f"`{room.name}" in text or f"`{room.stem}" in text, room.name


def test_readme_opens_with_two_commands_of_one_line_each():
    for mark in ("demo", "tests"):
        block = README.partition(f"<!-- {mark} -->\n```sh\n")[2].partition("\n```")[0]
        assert block.startswith("python3 -m venv .venv && .venv/bin/pip install -q ")
        assert "\n" not in block
    assert README.index("<!-- tests -->") < 1200


def test_ci_runs_the_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    assert "<!-- tests -->" in script


def test_version_and_python_of_the_readme_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11 or newer" in README
