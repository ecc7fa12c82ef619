"""What a text of CSV would do, and does, to the fleet."""

from __future__ import annotations

import io

from fleet import imports
from fleet.models import ImportProblem, ImportRun, ImportState


def read(text: str | bytes, **options: object) -> ImportRun:
    """An import of this text that was read and compared, and waits to be applied."""
    content = text.encode() if isinstance(text, str) else text
    run = imports.import_create(source="fleet.csv", upload=io.BytesIO(content), **options)  # type: ignore[arg-type]
    imports.import_read(run=run)
    assert run.state == ImportState.READY
    return run


def merged(text: str, *, country: str = "", city: str = "", retire: bool = False, force: bool = False) -> ImportRun:
    """An import of this text that was applied."""
    run = read(text, country=country, city=city)
    imports.import_apply(run=run, retire_missing=retire, force=force)
    run.refresh_from_db()
    return run


def counts(run: ImportRun) -> dict[str, int]:
    """What became of the rows, without what there was none of."""
    names = ("added", "changed", "unchanged", "missing", "retired", "rejected")
    return {name: getattr(run, name) for name in names if getattr(run, name)}


def reasons(run: ImportRun) -> list[tuple[int, str, str]]:
    return list(ImportProblem.objects.filter(run=run).order_by("line", "id").values_list("line", "column", "reason"))
