"""The import contracts of the project (their list is in pyproject.toml)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_imports_keep_their_contracts() -> None:
    """Each module imports only what stands below it; import-linter names the first breach of each contract."""
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(lint_imports), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


# What does input or output, or brings Django's machinery with it.
IMPURE = {"asyncio", "channels", "http", "os", "requests", "socket", "subprocess", "threading", "urllib3", "websockets"}
PURE = ["computed", "consistency", "document", "editing", "json_values", "problems", "schedule", "airports"]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("module", PURE)
def test_the_document_s_modules_are_pure(module: str) -> None:
    """They do no I/O, and know of Django its translation alone."""
    names = imported(ROOT / "itineraries" / f"{module}.py")
    assert not {name for name in names if name.split(".")[0] in IMPURE}
    assert not {name for name in names if name.startswith("django") and name != "django.utils.translation"}
