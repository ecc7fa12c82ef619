"""The builder: one page per trip, on which its own properties and each card are saved by themselves.

Every form works by an ordinary POST that ends in a redirect to the place it came from. With htmx the answer is the
part that changed, and beside it the state and the problems, which each save can change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from itineraries import builder, card_actions, document, findings, selectors, services
from itineraries.access import staff_with
from itineraries.builder import CardEditor
from itineraries.card_actions import NoSuchAction, Removed
from itineraries.document import KINDS, Trip
from itineraries.errors import DocumentError, Gone, StaleEdit
from itineraries.findings import Finding
from itineraries.forms import KIND_LABELS, TripForm
from itineraries.models import Itinerary
from itineraries.services import Expected


@require_GET
@staff_with("view_itinerary")
def edit(request: HttpRequest, itinerary_id: UUID) -> HttpResponse:
    """The whole page."""
    return _page(request, _itinerary(itinerary_id))


@require_http_methods(["GET", "POST"])
@staff_with("change_itinerary")
def trip(request: HttpRequest, itinerary_id: UUID) -> HttpResponse:
    """Saves the trip's own properties."""
    itinerary = _itinerary(itinerary_id)
    present = document.load(itinerary.document)
    if request.method == "GET":
        return _answer_trip(request, itinerary, None)
    form = TripForm(present.data, prefix="trip", data=request.POST)
    problems: dict[str, Any] = {}
    try:
        itinerary = _save(request, itinerary_id, form.apply, Expected("trip", _version(request)))
        form = form.after_save(document.load(itinerary.document).data, problems=_problems(itinerary))  # type: ignore[assignment]
    except StaleEdit as error:
        itinerary = _itinerary(itinerary_id)
        data = document.load(itinerary.document).data
        form = TripForm(data, prefix="trip", data=request.POST, problems=_problems(itinerary), show_elsewhere=True)
        problems = {"stale": error}
    except DocumentError as error:
        problems = {"messages": _messages(error)}
    return _answer_trip(request, itinerary, form, **problems)


@require_POST
@staff_with("change_itinerary")
def card_add(request: HttpRequest, itinerary_id: UUID) -> HttpResponse:
    """A new card behind another, or as the first."""
    kind, made = request.POST.get("kind", ""), []
    if kind not in KINDS:
        raise Http404

    def add(present: Trip) -> Trip:
        after, key = card_actions.new_card(present, kind, request.POST.get("after", ""))
        made.append(key)
        return after

    try:
        itinerary = _save(request, itinerary_id, add)
    except Gone:  # the card it was to stand behind: then as the last
        itinerary = _save(request, itinerary_id, lambda present: card_actions.last_card(present, kind, made))
    return _answer_cards(request, itinerary, made[-1], focus=True)


@require_http_methods(["GET", "POST"])
@staff_with("change_itinerary")
def card(request: HttpRequest, itinerary_id: UUID, card_key: str) -> HttpResponse:
    """Saves a card, and does what its button says; a GET answers with what is stored."""
    itinerary = _itinerary(itinerary_id)
    present = document.load(itinerary.document)
    editor = builder.card_editor(present, card_key, data=request.POST if request.method == "POST" else None)
    if request.method == "GET":
        return _answer_cards(request, itinerary, card_key)
    if editor is None:
        return _answer_gone(request, itinerary, card_key)
    action, *names = request.POST.get("do", "save").split(" ")
    editor.removed = _still_removed(request)
    try:
        saved, editor = _act(request, itinerary, editor, action, names)
    except StaleEdit as error:
        return _answer_stale(request, itinerary_id, card_key, error)
    except Gone:
        return _answer_gone(request, _itinerary(itinerary_id), card_key)
    except DocumentError as error:
        editor.messages = _messages(error)
        return _answer_editors(request, itinerary, [editor])
    except NoSuchAction:
        raise Http404 from None
    if action == "remove":
        return _answer_removed(request, saved, editor.removed[-1], card_key)
    keys = [card_key, *(_behind(saved, card_key) if action == "duplicate" else [])]
    editors = [editor, *(one for one in _editors(saved) if one.key in keys[1:])]
    return _answer_editors(request, saved, editors)


@require_POST
@staff_with("change_itinerary")
def restore(request: HttpRequest, itinerary_id: UUID) -> HttpResponse:
    """Puts a removed card back."""
    keys: list[str] = []

    def undo(present: Trip) -> Trip:
        after, key = card_actions.put_back(itinerary_id, present, request.POST.get("undo", ""))
        keys.append(key)
        return after

    try:
        itinerary = _save(request, itinerary_id, undo)
    except NoSuchAction:
        raise Http404 from None
    return _answer_cards(request, itinerary, keys[-1], focus=True)


# --- What the views are made of ----------------------------------------------------------------------------------


def _itinerary(itinerary_id: UUID) -> Itinerary:
    return get_object_or_404(Itinerary.objects.with_state().select_related("updated_by"), pk=itinerary_id)


def _save(request: HttpRequest, itinerary_id: UUID, change: Any, expected: Expected | None = None) -> Itinerary:
    try:
        services.itinerary_edit(itinerary_id=itinerary_id, user=request.user, edit=change, expected=expected)
    except Itinerary.DoesNotExist:
        raise Http404 from None
    return _itinerary(itinerary_id)


def _act(
    request: HttpRequest, itinerary: Itinerary, editor: CardEditor, action: str, names: Sequence[str]
) -> tuple[Itinerary, CardEditor]:
    """Saves what was typed and does the action, in one edit; the card's editor afterwards."""
    removed = list(editor.removed)

    def change(present: Trip) -> Trip:
        after = editor.apply(present)
        if action == "restore":
            token = " ".join(names)
            removed[:] = [one for one in removed if one.token != token]
            return card_actions.put_back(itinerary.pk, after, token)[0]
        if (taken := card_actions.removal(itinerary.pk, after, editor.key, action, *names)) is not None:
            removed.append(taken)
        return card_actions.card_action(after, editor.key, action, *names)

    saved = _save(request, itinerary.pk, change, Expected(editor.key, _version(request)))
    present = document.load(saved.document)
    unreadable = editor.unreadable()
    fresh = builder.card_editor(present, editor.key, problems=_problems(saved))
    if fresh is not None and unreadable:
        fresh = builder.card_editor(
            present, editor.key, problems=_problems(saved), data={**fresh.shown(), **unreadable}
        )
    after = fresh or editor
    after.removed = removed
    return saved, after


def _version(request: HttpRequest) -> int:
    text = request.POST.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _still_removed(request: HttpRequest) -> list[Removed]:
    tokens = request.POST.getlist("undo")
    return [one for token in tokens if (one := card_actions.removed_before(token)) is not None]


def _behind(itinerary: Itinerary, card_key: str) -> list[str]:
    keys = [one.key for one in document.load(itinerary.document).segments]
    at = keys.index(card_key) + 1 if card_key in keys else len(keys)
    return keys[at : at + 1]


def _messages(error: DocumentError) -> list[str]:
    return [f"{found.path}: {found.message}" if found.path else found.message for found in error.problems]


def _findings(itinerary: Itinerary, present: Trip) -> list[Finding]:
    return [*findings.refusals(itinerary, present), *findings.findings(present)]


def _problems(itinerary: Itinerary) -> dict[str, Any]:
    return findings.by_anchor(_findings(itinerary, document.load(itinerary.document)))


def _editors(itinerary: Itinerary) -> list[CardEditor]:
    present, problems = document.load(itinerary.document), _problems(itinerary)
    return [CardEditor(one, problems=problems) for one in present.segments]


def _context(request: HttpRequest, itinerary: Itinerary) -> dict[str, Any]:
    present = document.load(itinerary.document)
    found = _findings(itinerary, present)
    return {
        "itinerary": itinerary,
        "trip": present,
        "findings": found,
        "error_count": sum(one.is_error for one in found),
        "warning_count": sum(not one.is_error for one in found),
        "kinds": KIND_LABELS.items(),
        "currency": (present.price.currency if present.price else None) or "",
        "can_change": request.user.has_perm("itineraries.change_itinerary"),
        "can_publish": request.user.has_perm("itineraries.publish_itinerary"),
        "can_delete": request.user.has_perm("itineraries.delete_itinerary"),
    }


# --- Answers -----------------------------------------------------------------------------------------------------


def _page(request: HttpRequest, itinerary: Itinerary, *, status: int = 200, **more: Any) -> HttpResponse:
    """The whole page, with the parts that a POST without htmx leaves open in place of the stored ones."""
    context = _context(request, itinerary)
    problems = findings.by_anchor(context["findings"])
    given: dict[str, CardEditor] = {one.key: one for one in more.pop("editors", [])}
    context |= {
        "trip_form": TripForm(context["trip"].data, prefix="trip", problems=problems),
        "stale": None,
        "messages_of_trip": [],
        "editors": [given.get(one.key, one) for one in _editors(itinerary)],
        "publications": selectors.publications(itinerary)[:10],
        "removed": None,
        "leftovers": [],
        **more,
    }
    return render(request, "itineraries/edit.html", context, status=status)


def _answer_trip(
    request: HttpRequest,
    itinerary: Itinerary,
    form: Any,
    *,
    stale: StaleEdit | None = None,
    messages: Sequence[str] = (),
) -> HttpResponse:
    form = form or TripForm(document.load(itinerary.document).data, prefix="trip", problems=_problems(itinerary))
    more = {"trip_form": form, "stale": stale, "messages_of_trip": messages}
    if getattr(request, "htmx", False):
        return render(request, "itineraries/_trip_answer.html", {**_context(request, itinerary), **more})
    if stale is not None or messages or form.errors:
        return _page(request, itinerary, status=409 if stale else 422, **more)
    return redirect(reverse("itineraries:edit", args=[itinerary.pk]) + "#trip")


def _answer_editors(request: HttpRequest, itinerary: Itinerary, editors: Sequence[CardEditor]) -> HttpResponse:
    if getattr(request, "htmx", False):
        context = {**_context(request, itinerary), "editors": editors}
        return render(request, "itineraries/_cards_answer.html", context)
    if any(one.has_errors or one.removed for one in editors):
        status = 409 if editors[0].stale else 422 if editors[0].has_errors else 200
        return _page(request, itinerary, status=status, editors=editors)
    return redirect(reverse("itineraries:edit", args=[itinerary.pk]) + f"#card-{editors[-1].key}")


def _answer_cards(request: HttpRequest, itinerary: Itinerary, card_key: str, *, focus: bool = False) -> HttpResponse:
    editors = [one for one in _editors(itinerary) if one.key == card_key]
    if not editors:
        return _answer_gone(request, itinerary, card_key)
    editors[0].focus = focus
    return _answer_editors(request, itinerary, editors)


def _answer_stale(request: HttpRequest, itinerary_id: UUID, card_key: str, error: StaleEdit) -> HttpResponse:
    """What was typed, over what somebody else stored: nothing was written, and nothing is lost."""
    itinerary = _itinerary(itinerary_id)
    editor = builder.card_editor(
        document.load(itinerary.document),
        card_key,
        data=request.POST,
        problems=_problems(itinerary),
        show_elsewhere=True,
        removed=_still_removed(request),
        stale=error,
    )
    if editor is None:
        return _answer_gone(request, itinerary, card_key)
    return _answer_editors(request, itinerary, [editor])


def _answer_removed(request: HttpRequest, itinerary: Itinerary, removed: Removed, card_key: str) -> HttpResponse:
    if getattr(request, "htmx", False):
        context = {**_context(request, itinerary), "removed": removed, "card_key": card_key}
        return render(request, "itineraries/_removed_answer.html", context)
    return _page(request, itinerary, removed=removed, card_key=card_key)


def _answer_gone(request: HttpRequest, itinerary: Itinerary, card_key: str) -> HttpResponse:
    """A card that somebody removed: what was typed into it stays to be read."""
    leftovers = builder.typed_texts(request.POST)
    if getattr(request, "htmx", False):
        context = {**_context(request, itinerary), "leftovers": leftovers, "card_key": card_key}
        return render(request, "itineraries/_gone_answer.html", context)
    return _page(request, itinerary, status=409, leftovers=leftovers, card_key=card_key)
