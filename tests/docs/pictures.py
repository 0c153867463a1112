"""Draws the pictures in docs/pictures: the demo in a terminal, and the evaluation report in a browser.

    python -m tests.docs.pictures              # both
    python -m tests.docs.pictures demo         # demo.svg alone: runs the demo for a minute
    python -m tests.docs.pictures report       # report.webp alone: needs chromium

Run it on an idle machine: the demo shows what it measures.
"""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from training.demo import run
from training.demo.show import Screen

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
SET = "tests/benchmarks/sets/kdd99_rare.parquet"
_COLUMNS = 112
_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PAGE = (1_000, 1_412)  # CSS pixels
_SCALE = 1.5
_TO_WEBP = """<body><script>
  const image = new Image(); image.src = "data:image/png;base64,%s";
  image.onload = () => {
    const canvas = document.createElement("canvas");
    canvas.width = image.width; canvas.height = image.height;
    canvas.getContext("2d").drawImage(image, 0, 0);
    document.body.textContent = canvas.toDataURL("image/webp", 0.8);
  };
</script></body>"""
"""The browser is the one program at hand that writes WebP."""


@dataclass
class _Printed:
    """Stands in for the demo's console and keeps what is printed."""

    lines: list[tuple[RenderableType, dict[str, Any]]] = field(default_factory=list)

    def print(self, renderable: RenderableType, **options: Any) -> None:
        self.lines.append((renderable, options))


def demo() -> None:
    """Run the demo, and draw its first lines, a stretch around its last fine-tune, and its summary."""
    printed = _Printed()

    class Recorded(Screen):
        def __init__(self, *, quiet: bool) -> None:
            super().__init__(quiet=quiet)
            self._console = printed  # type: ignore[assignment]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "Screen", Recorded)
        run.run_demo(run.Options(60.0, None, None, None, None, None, json=False))
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(Text("$ make demo", "bold"))
    for renderable, options in _shown(printed.lines):
        console.print(renderable, **options)
    svg = console.export_svg(title="offbeat demo", unique_id="demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # fonts from elsewhere
    svg = svg.replace("font-family: Fira Code, monospace", f"font-family: {_FONTS}")
    (FOLDER / "demo.svg").write_text("\n".join(line.rstrip() for line in svg.strip().splitlines()) + "\n", "utf-8")


def _shown(lines: list[tuple[RenderableType, dict[str, Any]]]) -> list[tuple[RenderableType, dict[str, Any]]]:
    """The beginning, the fine-tune with the most severe alerts around it, and the summary."""
    plain = [text.plain.split() if isinstance(text, Text) else [] for text, _ in lines]

    def severe(i: int) -> int:
        return sum(words[:1] in (["minor"], ["major"], ["critical"]) for words in plain[i - 4 : i + 8])

    fine_tunes = [i for i, words in enumerate(plain) if "fine-tuned" in words and 10 < i < len(lines) - 10]
    best = max(fine_tunes, key=severe)
    left_out: tuple[RenderableType, dict[str, Any]] = (Text("       ⋮", "dim"), {})
    return [*lines[:5], left_out, *lines[best - 4 : best + 8], left_out, lines[-1]]


def report() -> None:
    """Evaluate a labelled set, and photograph the top of the report."""
    with tempfile.TemporaryDirectory() as folder:
        page, picture = Path(folder) / "report.html", Path(folder) / "report.png"
        command = [sys.executable, "-m", "worker.cli", "evaluate", SET, "--label", "label",
                   "--alert-rate", "0.02", "--report", str(page)]  # fmt: skip
        subprocess.run(command, check=True, cwd=ROOT)
        photograph(page, picture)
        page.write_text(_TO_WEBP % base64.b64encode(picture.read_bytes()).decode())
        found = re.search(r"data:image/webp;base64,([^<]+)", _browse("--dump-dom", page.as_uri()))
        assert found is not None
        (FOLDER / "report.webp").write_bytes(base64.b64decode(found[1]))


def photograph(page: Path, picture: Path) -> None:
    """Write the top of a page as PNG."""
    size = f"--window-size={_PAGE[0]},{_PAGE[1]}"
    _browse(size, f"--force-device-scale-factor={_SCALE}", f"--screenshot={picture}", page.as_uri())


def _browse(*arguments: str) -> str:
    """What a headless browser prints; nothing of it stays, and it connects to nothing."""
    browser = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit("chromium is not installed. Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory() as home:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
            f"--user-data-dir={home}/profile", *arguments,
        ]  # fmt: skip
        done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "HOME": home})
    return done.stdout


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    wanted = sys.argv[1:] or ["demo", "report"]
    for name, draw in {"demo": demo, "report": report}.items():
        if name in wanted:
            draw()


if __name__ == "__main__":
    main()
