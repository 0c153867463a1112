"""The documentation: short where it has to be, current where it is generated, and nothing that it names is missing."""

from __future__ import annotations

import re
import unicodedata
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.docs.configuration import PAGE, page
from worker.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
README_WORDS = 1_500
PICTURE_BYTES = 200_000
_LINK = re.compile(r'(?:\]\(|src="|href=")([^)"\s]+)')
_CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]+`", re.DOTALL | re.MULTILINE)


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def anchors(path: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    text = re.sub(r"^ *```.*?^ *```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {_anchor(heading) for heading in headings}


def _anchor(heading: str) -> str:
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower().strip()
    kept = (c for c in plain if c in " -_" or unicodedata.category(c)[0] in "LN")
    return "".join(kept).replace(" ", "-")


def test_the_readme_can_be_taken_in() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= README_WORDS


def test_the_configuration_page_is_what_make_docs_writes() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: make docs"


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    broken = []
    for link in _LINK.findall(text):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_commands_exist(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    code = "\n".join(_CODE.findall(path.read_text("utf-8")))
    assert set(re.findall(r"^`*\s*make ([a-z]+)", code, re.MULTILINE)) <= targets
    for module in re.findall(r"-m ((?:tests|worker|training)[\w.]*)", code):
        spec = find_spec(module)
        assert spec is not None, module
        assert not spec.submodule_search_locations or find_spec(f"{module}.__main__"), module
    for command in set(re.findall(r"(?:^ *|[`/])offbeat ([a-z]+)(?= |`|$)", code, re.MULTILINE)):
        assert CliRunner().invoke(cli, [command, "--help"]).exit_code == 0, command


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_named_files_of_the_code_exist(path: Path) -> None:
    code = "\n".join(_CODE.findall(path.read_text("utf-8")))
    named = set(re.findall(r"\b((?:worker|training|tests|deploy)/[\w/.-]*\w\.(?:py|parquet|json|sh))\b", code))
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_named_metrics_exist() -> None:
    source = (ROOT / "worker" / "health" / "metrics.py").read_text("utf-8")
    named = set(re.findall(r"`offbeat_(\w+?)(?:_total)?`", (ROOT / "docs" / "operations.md").read_text("utf-8")))
    assert named
    assert {name for name in named if f'"{name}"' not in source and f'"offbeat_{name}"' not in source} == set()


def test_pictures_are_small_and_load_nothing() -> None:
    pictures = sorted((ROOT / "docs" / "pictures").iterdir())
    assert [path.name for path in pictures if path.stat().st_size > PICTURE_BYTES] == []
    for path in pictures:
        if path.suffix == ".svg":
            text = path.read_text("utf-8")
            loaded = re.findall(r"url\((?!#)[^)]*\)|@import|href=\"(?!#)[^\"]*\"", text)
            assert loaded == [], path.name
