"""The pages of imports: give a source, look at what it would do, apply it, and see what it did."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from fleet import import_jobs, imports, staging
from fleet.errors import NotApplicable
from fleet.exporting import Echo, table_response
from fleet.import_forms import ApplyForm, ColumnsForm, ImportForm
from fleet.import_pages import ROWS, RunPage
from fleet.models import ImportRun, ImportState
from fleet.sources.cells import neutralised
from fleet.undoing import undo_run

PERMISSIONS: Final = ("fleet.add_vehicle", "fleet.change_vehicle")
LATEST: Final = 50

View = Callable[..., HttpResponseBase]


def importer(view: View) -> View:
    """For staff who may add and change vehicles."""

    @wraps(view)
    @never_cache
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            if getattr(request, "htmx", False):
                return HttpResponse(status=401)
            return redirect_to_login(request.get_full_path())
        if not (request.user.is_staff and request.user.has_perms(PERMISSIONS)):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


@require_http_methods(["GET", "POST"])
@importer
def import_list(request: HttpRequest) -> HttpResponse:
    """A new import, and the last ones."""
    form = ImportForm(request.POST, request.FILES) if request.method == "POST" else ImportForm()
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        upload, url = given["file"], given["url"]
        run = imports.import_create(
            source=url or upload.name,
            by=request.user,
            format=given["format"],
            country=given["country"],
            city=given["city"],
            retire_missing=given["retire_missing"],
            upload=upload.file if upload else None,
        )
        import_jobs.start_reading(run, url)
        return redirect("fleet:import_run", run.pk)
    runs = list(ImportRun.objects.select_related("by").order_by("-id")[:LATEST])
    context = {"form": form, "pages": [RunPage(run) for run in runs]}
    return render(request, "fleet/import_list.html", context, status=422 if form.errors else 200)


@require_GET
@importer
def import_run(request: HttpRequest, run_id: int) -> HttpResponse:
    """One import: how far it is, what it would do, or what it did."""
    page = RunPage(_run(run_id), request.GET.get("show", ""), request.GET.get("page", ""))
    if getattr(request, "htmx", False):
        if page.is_under_way:
            return render(request, "fleet/_import_progress.html", {"page": page})
        return HttpResponse(headers={"HX-Refresh": "true"})
    return _shown(request, page)


@require_POST
@importer
def import_apply(request: HttpRequest, run_id: int) -> HttpResponse:
    """Apply what was looked at; a mass withdrawal only where its number was typed."""
    page = RunPage(_run(run_id))
    if not page.can_apply:
        messages.warning(request, gettext("The import was applied or discarded already."))
        return redirect("fleet:import_run", run_id)
    form = ApplyForm(request.POST)
    form.is_valid()
    retire = form.cleaned_data["retire_missing"]
    mass = retire and page.is_mass_withdrawal
    typed = "".join(sign for sign in form.cleaned_data["confirmed"] if sign.isdecimal())
    if mass and typed != str(page.run.missing):
        refusal = gettext("Type %(count)s to retire so many vehicles, or do not retire them.")
        return _shown(request, page, refusal=refusal % {"count": page.run.missing}, status=422)
    import_jobs.start_applying(page.run, by=request.user, retire_missing=retire, force=mass)
    return redirect("fleet:import_run", run_id)


@require_POST
@importer
def import_discard(request: HttpRequest, run_id: int) -> HttpResponse:
    """Forget what was read."""
    try:
        imports.import_discard(run=_run(run_id))
    except NotApplicable as error:
        messages.warning(request, str(error))
        return redirect("fleet:import_run", run_id)
    messages.success(request, gettext("The import was discarded; nothing was changed."))
    return redirect("fleet:import")


@require_POST
@importer
def import_again(request: HttpRequest, run_id: int) -> HttpResponse:
    """Read the same file again, with the headings as they were mapped by hand, or after an interruption."""
    page = RunPage(_run(run_id))
    columns: dict[str, str] = dict(page.run.columns)
    if "column_0" in request.POST:
        form = ColumnsForm(page.run, request.POST)
        if not form.is_valid():
            return _shown(request, page, columns_form=form, status=422)
        columns = form.columns
    try:
        run = imports.import_again(run=page.run, columns=columns, by=request.user)
    except NotApplicable as error:
        messages.warning(request, str(error))
        return redirect("fleet:import")
    import_jobs.start_reading(run)
    return redirect("fleet:import_run", run.pk)


@require_POST
@importer
def import_undo(request: HttpRequest, run_id: int) -> HttpResponse:
    """Take back what an import did, as far as nobody changed it since."""
    run = _run(run_id)
    if run.state != ImportState.APPLIED:
        raise Http404
    undone = undo_run(run=run, by=request.user)
    words = ngettext("%(count)s vehicle was set back.", "%(count)s vehicles were set back.", undone.changed)
    messages.success(request, words % {"count": undone.changed})
    if left := len(undone.skipped) + len(undone.kept):
        words = gettext("%(count)s stayed as they are, wholly or in part: they were changed since, or back already.")
        messages.warning(request, words % {"count": left})
    return redirect("fleet:import_run", run_id)


@require_GET
@importer
def import_problems(request: HttpRequest, run_id: int) -> StreamingHttpResponse:
    """The rejected rows with their reasons, as a table to mend the source by."""
    run = _run(run_id)

    def lines() -> Iterator[str]:
        writer = csv.writer(Echo())
        yield writer.writerow([gettext("line"), gettext("vehicle"), gettext("column"), gettext("reason")])
        for problem in staging.problems_by_line(run):
            told = (problem.vehicle_id, problem.column, problem.reason)
            yield writer.writerow([problem.line, *map(neutralised, told)])

    return table_response(request, f"import-{run.pk}-rejected.csv", lines())


def _run(run_id: int) -> ImportRun:
    return get_object_or_404(ImportRun.objects.select_related("by"), pk=run_id)


def _shown(
    request: HttpRequest,
    page: RunPage,
    *,
    refusal: str = "",
    columns_form: ColumnsForm | None = None,
    status: int = 200,
) -> HttpResponse:
    can_map = bool(page.headings) and imports.can_read_again(page.run)
    context = {
        "page": page,
        "run": page.run,
        "refusal": refusal,
        "columns_form": columns_form or (ColumnsForm(page.run) if can_map else None),
        "can_read_again": imports.can_read_again(page.run),
        "per_page": ROWS,
    }
    return render(request, "fleet/import_run.html", context, status=status)
