"""Imports from their beginning to their end: read, looked at, applied or discarded.

    reading ─► ready ─► applying ─► applied
       │         └────► discarded
       └─► failed

Reading and applying hold a lock that dies with the process, so an import whose process died shows as interrupted and
can be read or applied again; nothing of the fleet has changed then.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext

from fleet import locks, staging
from fleet.errors import FleetError, NotApplicable, UnreadableSource
from fleet.history import Author, author_id
from fleet.merging import Merged, merge
from fleet.models import ImportProblem, ImportRun, ImportState, VehicleChange
from fleet.sources.fetch import Limits, is_address, shown_address
from fleet.sources.opening import Options, download, open_file, open_source
from fleet.sources.records import Progress, storable

logger = logging.getLogger(__name__)

# How long what was read waits to be applied, what was wrong with rows can be looked up, and a run is remembered.
WAITS: Final = timedelta(days=7)
PROBLEMS_KEPT: Final = timedelta(days=30)
IDLE_RUNS_KEPT: Final = timedelta(days=7)
RUNS_KEPT: Final = timedelta(days=365)
# A process that says nothing for so long while nobody here holds the lock has died, or runs on another machine.
_SILENT: Final = timedelta(seconds=20)


def limits() -> Limits:
    return Limits(private=settings.FETCH_PRIVATE_ADDRESSES)


def import_create(
    *,
    source: str,
    by: Author = None,
    format: str = "",
    country: str = "",
    city: str = "",
    retire_missing: bool = False,
    columns: Mapping[str, str] | None = None,
    upload: BinaryIO | None = None,
) -> ImportRun:
    """A new import, not yet read. `source` is a name or an address, kept without what is secret in it.

    `upload` is kept until the import has ended, so that it can be read again with other headings.
    """
    imports_prune()
    run = ImportRun.objects.create(
        source=storable(shown_address(source) if is_address(source) else source)[:500],
        by_id=author_id(by),
        format=format,
        country=country,
        city=city,
        retire_missing=retire_missing,
        columns=dict(columns or {}),
    )
    if upload is not None:
        with _kept(run).open("wb") as kept:
            upload.seek(0)
            shutil.copyfileobj(upload, kept)
    return run


def import_read(*, run: ImportRun, source: str = "", keep: bool = True, progress: Progress | None = None) -> None:
    """Read a source into the staging tables and compare it with the fleet; the run is `ready` then.

    `source` is an address or the name of a file; empty, it is the file that was uploaded, or downloaded before. What is
    downloaded is kept to be read again, unless nobody will (`keep`). Raises
    UnreadableSource, after which the run has failed and says why; NotApplicable where it was discarded meanwhile.
    """
    with locks.held(locks.name_of_run(run.pk)), ExitStack() as stack:
        try:
            options = Options(run.format, run.country, run.city, run.columns, limits())
            what, base = _what_to_read(run, source, keep, stack, progress)
            reading = open_source(what, options, stack, _told(run, progress), base=base)
            run.format, run.country = reading.found.format, run.country or reading.found.country
            run.found = reading.found.as_json()
            run.save(update_fields=["format", "country", "found"])
            staging.stage(run, reading, progress)
            staging.classify(run)
        except UnreadableSource as error:
            _fail(run, str(error), error.found.as_json() if error.found else None)
            raise
        except NotApplicable:
            _clear(run, problems=True)
            raise
        except Exception:
            _fail(run, gettext("It failed for a reason that the program did not expect; the log tells more."), None)
            raise
        ready = ImportRun.objects.filter(pk=run.pk, state=ImportState.READING)
        if not ready.update(state=ImportState.READY, read_at=timezone.now()):
            _clear(run, problems=True)
            raise NotApplicable(gettext("The import was discarded."))
        run.refresh_from_db()


def _what_to_read(
    run: ImportRun, source: str, keep: bool, stack: ExitStack, progress: Progress | None
) -> tuple[str | BinaryIO, str]:
    """What to open, and the address that it came from."""
    kept = _kept(run)
    if keep and is_address(source):
        # The file and not its address, which may hold a password.
        file, base = download(source, limits(), _told(run, progress))
        with file, kept.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        return stack.enter_context(open_file(kept)), base
    if source:
        return source, ""
    return stack.enter_context(open_file(kept)), run.source if is_address(run.source) else ""


def _told(run: ImportRun, progress: Progress | None) -> Progress:
    """Notes in the run that a download goes on, once a second."""

    def tell(position: int, size: int) -> None:
        if timezone.now() - run.seen_at > timedelta(seconds=1):
            run.seen_at, run.position, run.size = timezone.now(), position, size
            ImportRun.objects.filter(pk=run.pk).update(seen_at=run.seen_at, position=position, size=size)
        if progress:
            progress(position, size)

    return tell


def import_apply(*, run: ImportRun, by: Author = None, retire_missing: bool = False, force: bool = False) -> Merged:
    """Merge what was read into the fleet as it is now, all or nothing.

    Raises TooManyRetired, NotApplicable and ImportUnderWay; nothing has changed then, and it may be tried again.
    """
    started = ImportRun.objects.filter(pk=run.pk, state__in=[ImportState.READY, ImportState.APPLYING])
    with locks.held(locks.name_of_run(run.pk)):
        if not started.update(state=ImportState.APPLYING, seen_at=timezone.now()):
            raise NotApplicable(gettext("The import was applied or discarded already."))
        try:
            staging.refuse_hindered(run)
            merged = merge(run, by=by, retire_missing=retire_missing, force=force)
        except Exception as error:
            known = isinstance(error, FleetError)
            failure = str(error) if known else gettext("Applying it failed, and nothing was changed.")
            ImportRun.objects.filter(pk=run.pk).update(state=ImportState.READY, failure=failure)
            raise
        late = staging.refuse_hindered(run)  # in the moment between the two
        run.failure, run.unchanged = "", max(run.unchanged - late, 0)
        run.save(update_fields=["unchanged", "failure"])
        _clear(run)
    return merged


def import_discard(*, run: ImportRun) -> None:
    """Forget what was read, also while it is being read. Raises NotApplicable once it was applied."""
    waiting = ImportRun.objects.filter(
        pk=run.pk, state__in=[ImportState.READY, ImportState.FAILED, ImportState.READING]
    )
    if not waiting.update(state=ImportState.DISCARDED):
        if ImportRun.objects.filter(pk=run.pk, state=ImportState.DISCARDED).exists():
            return
        raise NotApplicable(gettext("The import was applied already, or is being applied."))
    _clear(run, problems=True)
    run.refresh_from_db()


def import_again(*, run: ImportRun, columns: Mapping[str, str], by: Author = None) -> ImportRun:
    """A new import of the same file, with headings mapped by hand, in place of this one; not yet read."""
    if run.state not in (ImportState.READY, ImportState.FAILED, ImportState.READING) or not can_read_again(run):
        raise NotApplicable(gettext("The file is not kept any more; give it once more."))
    with open_file(_kept(run)) as file:
        following = import_create(
            source=run.source,
            by=by,
            format=run.format if columns else "",
            country=run.country,
            city=run.city,
            retire_missing=run.retire_missing,
            columns=columns,
            upload=file,
        )
    import_discard(run=run)
    return following


def can_read_again(run: ImportRun) -> bool:
    """Whether the file that was read is still there."""
    return _kept(run).is_file()


def is_interrupted(run: ImportRun) -> bool:
    """Whether the process that read or applied it died on the way."""
    if run.state not in (ImportState.READING, ImportState.APPLYING) or locks.is_held(locks.name_of_run(run.pk)):
        return False
    return timezone.now() - run.seen_at > _SILENT


def imports_prune() -> None:
    """Discard what nobody applied, and forget problems and runs that are old."""
    now = timezone.now()
    waiting = [ImportState.READY, ImportState.FAILED, ImportState.READING]
    for run in ImportRun.objects.filter(state__in=waiting, created_at__lt=now - WAITS):
        if not locks.is_held(locks.name_of_run(run.pk)):
            import_discard(run=run)
    for run in ImportRun.objects.filter(created_at__lt=now - PROBLEMS_KEPT, rejected__gt=0, state=ImportState.APPLIED):
        ImportProblem.objects.filter(run=run).delete()
    ended = ImportRun.objects.filter(state__in=[ImportState.APPLIED, ImportState.DISCARDED])
    did_nothing = Q(state=ImportState.DISCARDED) | Q(added=0, changed=0, retired=0)
    idle = ended.filter(did_nothing, created_at__lt=now - IDLE_RUNS_KEPT)
    old = ended.filter(created_at__lt=now - RUNS_KEPT)
    for run in [*idle, *old]:
        staging.drop(run, problems=True)
        locks.forget(locks.name_of_run(run.pk))
        VehicleChange.objects.filter(run=run).update(run=None)
        ImportRun.objects.filter(pk=run.pk).delete()


def _fail(run: ImportRun, failure: str, found: dict[str, Any] | None) -> None:
    run.failure = failure = storable(failure)
    values: dict[str, Any] = {"state": ImportState.FAILED, "failure": failure}
    if found is not None:
        values["found"] = found
    ImportRun.objects.filter(pk=run.pk, state=ImportState.READING).update(**values)
    staging.drop(run, problems=True)


def _clear(run: ImportRun, *, problems: bool = False) -> None:
    """Drop what an import that has ended leaves behind."""
    staging.drop(run, problems=problems)
    _kept(run).unlink(missing_ok=True)
    locks.forget(locks.name_of_run(run.pk))


def _kept(run: ImportRun) -> Path:
    """Where the file of an import is kept, under a name of ours."""
    return locks.folder() / f"{run.pk}.source"
