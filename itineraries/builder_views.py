"""The builder: one page per trip, on which its own properties and each card are saved by themselves.

Every form works by an ordinary POST that ends in a redirect to the place it came from. With htmx the answer is the
part that changed, and beside it the state and the problems, which each save can change.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
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
from itineraries.errors import DocumentError, Gone, Problem, StaleEdit
from itineraries.findings import Finding
from itineraries.forms import KIND_LABELS, PartForm, TripForm
from itineraries.models import Itinerary
from itineraries.services import Expected


class Present:
    """An itinerary as it is stored now, read and judged once for an answer."""

    def __init__(self, itinerary: Itinerary) -> None:
        self.itinerary = itinerary
        self.trip = document.load(itinerary.document)

    @cached_property
    def findings(self) -> list[Finding]:
        return [*findings.refusals(self.itinerary, self.trip), *findings.findings(self.trip)]

    @cached_property
    def problems(self) -> dict[str, list[Problem]]:
        """Those of each place in the page."""
        return findings.by_anchor(self.findings)

    @property
    def trip_form(self) -> TripForm:
        return TripForm(self.trip.data, prefix="trip", problems=self.problems)

    def editors(self, keys: Collection[str] | None = None) -> list[CardEditor]:
        """Of all cards, or of those."""
        return [
            CardEditor(one, problems=self.problems) for one in self.trip.segments if keys is None or one.key in keys
        ]


@require_GET
@staff_with("view_itinerary")
def edit(request: HttpRequest, itinerary_id: UUID) -> HttpResponse:
    """The whole page."""
    return _page(request, _present(itinerary_id))


@require_http_methods(["GET", "POST"])
@staff_with("change_itinerary")
def trip(request: HttpRequest, itinerary_id: UUID) -> HttpResponse:
    """Saves the trip's own properties."""
    present = _present(itinerary_id)
    if request.method == "GET":
        return _answer_trip(request, present, present.trip_form)
    typed = TripForm(present.trip.data, prefix="trip", data=request.POST)
    form: PartForm = typed
    more: dict[str, Any] = {}
    try:
        present = _save(request, itinerary_id, typed.apply, Expected("trip", _version(request)))
        form = typed.after_save(present.trip.data, problems=present.problems)
    except StaleEdit as error:
        present = _present(itinerary_id)
        form = TripForm(
            present.trip.data, prefix="trip", data=request.POST, problems=present.problems, show_elsewhere=True
        )
        more = {"stale": error}
    except DocumentError as error:
        more = {"messages": _messages(error)}
    return _answer_trip(request, present, form, **more)


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
        present = _save(request, itinerary_id, add)
    except Gone:  # the card it was to stand behind: then as the last
        present = _save(request, itinerary_id, lambda trip: card_actions.last_card(trip, kind, made))
    return _answer_cards(request, present, made[-1], focus=True)


@require_http_methods(["GET", "POST"])
@staff_with("change_itinerary")
def card(request: HttpRequest, itinerary_id: UUID, card_key: str) -> HttpResponse:
    """Saves a card, and does what its button says; a GET answers with what is stored."""
    present = _present(itinerary_id)
    if request.method == "GET":
        return _answer_cards(request, present, card_key)
    editor = builder.card_editor(present.trip, card_key, data=request.POST)
    if editor is None:
        return _answer_gone(request, present, card_key)
    action, *names = request.POST.get("do", "save").split(" ")
    editor.removed = _still_removed(request)
    try:
        saved, editor = _act(request, itinerary_id, editor, action, names)
    except StaleEdit as error:
        return _answer_stale(request, itinerary_id, card_key, error)
    except Gone:
        return _answer_gone(request, _present(itinerary_id), card_key)
    except DocumentError as error:
        editor.messages = _messages(error)
        return _answer_editors(request, present, [editor])
    except NoSuchAction:
        raise Http404 from None
    if action == "remove":
        return _answer_removed(request, saved, editor.removed[-1], card_key)
    twin = saved.editors(_behind(saved.trip, card_key)) if action == "duplicate" else []
    return _answer_editors(request, saved, [editor, *twin])


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
        present = _save(request, itinerary_id, undo)
    except NoSuchAction:
        raise Http404 from None
    return _answer_cards(request, present, keys[-1], focus=True)


# --- What the views are made of ----------------------------------------------------------------------------------


def _present(itinerary_id: UUID) -> Present:
    found = Itinerary.objects.with_state().select_related("updated_by")
    return Present(get_object_or_404(found, pk=itinerary_id))


def _save(request: HttpRequest, itinerary_id: UUID, change: Any, expected: Expected | None = None) -> Present:
    try:
        services.itinerary_edit(itinerary_id=itinerary_id, user=request.user, edit=change, expected=expected)
    except Itinerary.DoesNotExist:
        raise Http404 from None
    return _present(itinerary_id)


def _act(
    request: HttpRequest, itinerary_id: UUID, editor: CardEditor, action: str, names: Sequence[str]
) -> tuple[Present, CardEditor]:
    """Saves what was typed and does the action, in one edit; the card's editor afterwards."""
    removed = list(editor.removed)

    def change(trip: Trip) -> Trip:
        after = editor.apply(trip)
        if action == "restore":
            token = " ".join(names)
            removed[:] = [one for one in removed if one.token != token]
            return card_actions.put_back(itinerary_id, after, token)[0]
        if (taken := card_actions.removal(itinerary_id, after, editor.key, action, *names)) is not None:
            removed.append(taken)
        return card_actions.card_action(after, editor.key, action, *names)

    saved = _save(request, itinerary_id, change, Expected(editor.key, _version(request)))
    unreadable = editor.unreadable()
    fresh = builder.card_editor(saved.trip, editor.key, problems=saved.problems)
    if fresh is not None and unreadable:
        fresh = builder.card_editor(
            saved.trip, editor.key, problems=saved.problems, data={**fresh.shown(), **unreadable}
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


def _behind(trip: Trip, card_key: str) -> list[str]:
    keys = [one.key for one in trip.segments]
    at = keys.index(card_key) + 1 if card_key in keys else len(keys)
    return keys[at : at + 1]


def _messages(error: DocumentError) -> list[str]:
    return [f"{found.path}: {found.message}" if found.path else found.message for found in error.problems]


def _context(request: HttpRequest, present: Present) -> dict[str, Any]:
    trip, found = present.trip, present.findings
    return {
        "itinerary": present.itinerary,
        "trip": trip,
        "findings": found,
        "error_count": sum(one.is_error for one in found),
        "warning_count": sum(not one.is_error for one in found),
        "kinds": KIND_LABELS.items(),
        "currency": (trip.price.currency if trip.price else None) or "",
        "can_change": request.user.has_perm("itineraries.change_itinerary"),
        "can_publish": request.user.has_perm("itineraries.publish_itinerary"),
        "can_delete": request.user.has_perm("itineraries.delete_itinerary"),
    }


# --- Answers -----------------------------------------------------------------------------------------------------


def _page(request: HttpRequest, present: Present, *, status: int = 200, **more: Any) -> HttpResponse:
    """The whole page, with the parts that a POST without htmx leaves open in place of the stored ones."""
    context = _context(request, present)
    given: dict[str, CardEditor] = {one.key: one for one in more.pop("editors", [])}
    context |= {
        "trip_form": present.trip_form,
        "stale": None,
        "messages_of_trip": [],
        "editors": [given.get(one.key) or CardEditor(one, problems=present.problems) for one in present.trip.segments],
        "publications": selectors.publications(present.itinerary)[:10],
        "removed": None,
        "leftovers": [],
        **more,
    }
    return render(request, "itineraries/edit.html", context, status=status)


def _answer_trip(
    request: HttpRequest,
    present: Present,
    form: PartForm,
    *,
    stale: StaleEdit | None = None,
    messages: Sequence[str] = (),
) -> HttpResponse:
    more = {"trip_form": form, "stale": stale, "messages_of_trip": messages}
    if getattr(request, "htmx", False):
        return render(request, "itineraries/_trip_answer.html", {**_context(request, present), **more})
    if stale is not None or messages or form.errors:
        return _page(request, present, status=409 if stale else 422, **more)
    return redirect(reverse("itineraries:edit", args=[present.itinerary.pk]) + "#trip")


def _answer_editors(request: HttpRequest, present: Present, editors: Sequence[CardEditor]) -> HttpResponse:
    if getattr(request, "htmx", False):
        context = {**_context(request, present), "editors": editors}
        return render(request, "itineraries/_cards_answer.html", context)
    if any(one.has_errors or one.removed for one in editors):
        status = 409 if editors[0].stale else 422 if editors[0].has_errors else 200
        return _page(request, present, status=status, editors=editors)
    return redirect(reverse("itineraries:edit", args=[present.itinerary.pk]) + f"#card-{editors[-1].key}")


def _answer_cards(request: HttpRequest, present: Present, card_key: str, *, focus: bool = False) -> HttpResponse:
    editors = present.editors([card_key])
    if not editors:
        return _answer_gone(request, present, card_key)
    editors[0].focus = focus
    return _answer_editors(request, present, editors)


def _answer_stale(request: HttpRequest, itinerary_id: UUID, card_key: str, error: StaleEdit) -> HttpResponse:
    """What was typed, over what somebody else stored: nothing was written, and nothing is lost."""
    present = _present(itinerary_id)
    editor = builder.card_editor(
        present.trip,
        card_key,
        data=request.POST,
        problems=present.problems,
        show_elsewhere=True,
        removed=_still_removed(request),
        stale=error,
    )
    if editor is None:
        return _answer_gone(request, present, card_key)
    return _answer_editors(request, present, [editor])


def _answer_removed(request: HttpRequest, present: Present, removed: Removed, card_key: str) -> HttpResponse:
    if getattr(request, "htmx", False):
        context = {**_context(request, present), "removed": removed, "card_key": card_key}
        return render(request, "itineraries/_removed_answer.html", context)
    return _page(request, present, removed=removed, card_key=card_key)


def _answer_gone(request: HttpRequest, present: Present, card_key: str) -> HttpResponse:
    """A card that somebody removed: what was typed into it stays to be read."""
    leftovers = builder.typed_texts(request.POST)
    if getattr(request, "htmx", False):
        context = {**_context(request, present), "leftovers": leftovers, "card_key": card_key}
        return render(request, "itineraries/_gone_answer.html", context)
    return _page(request, present, status=409, leftovers=leftovers, card_key=card_key)
