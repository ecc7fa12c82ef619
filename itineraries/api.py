"""The REST interface of itineraries: ``/api/v1/itineraries/``.

Documents are read by ``document.read``, which keeps what a common JSON parser loses silently. Writing demands the ETag of
a GET in ``If-Match``: 428 without it, 412 when somebody else was faster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.metadata import SimpleMetadata
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from itineraries import document, publishing, selectors, services
from itineraries.api_shapes import (
    DocumentSerializer,
    ItinerarySerializer,
    PublishedSerializer,
    PublishSerializer,
    RefusalSerializer,
    RefusedAttemptSerializer,
    ResolutionSerializer,
    UnpublishedSerializer,
)
from itineraries.errors import (
    AttemptUnderWay,
    DocumentError,
    ItineraryError,
    NotAgain,
    NotConfigured,
    NothingToResolve,
    NotPublishable,
    Problem,
    StaleEdit,
)
from itineraries.json_values import MAX_BYTES, MAX_PROBLEMS, Doubled, as_bytes, check_values, joined
from itineraries.models import Itinerary, Publication, PublicationState


def represented(itinerary: Itinerary) -> dict[str, Any]:
    """An itinerary that came by ``with_state()``, as the API shows it."""
    trip = selectors.itinerary_trip(itinerary)
    return {
        "id": str(itinerary.pk),
        "state": itinerary.state,
        "url": itinerary.__dict__["published_url"] or None,
        "document": document.export(trip),
        "problems": [problem.as_json() for problem in selectors.itinerary_problems(itinerary)],
    }


# --- What the views share ----------------------------------------------------------------------------------------


class DocumentParser(BaseParser):
    """JSON, with marks where a value or a doubled name would be lost."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        return document.read(stream.read(4 * MAX_BYTES + 1))


class PreconditionRequired(APIException):
    status_code = status.HTTP_428_PRECONDITION_REQUIRED
    default_code = "precondition_required"


class Pages(CursorPagination):
    page_size = 20
    ordering = ("-created_at", "id")

    def decode_cursor(self, request: Request) -> Cursor | None:
        """A position that is no time is a cursor that we never gave, not something to ask the database about."""
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            try:
                # Without a zone it is a local time; neither it, nor one beyond the calendar, was ever ours.
                known = datetime.fromisoformat(str(cursor.position))
                known.astimezone(UTC)
            except (ValueError, OverflowError):
                known = None
            if known is None or known.tzinfo is None:
                raise NotFound(self.invalid_cursor_message)
        return cursor


class Metadata(SimpleMetadata):
    """What OPTIONS answers, without the fields of each method: those are in the OpenAPI document."""

    def determine_actions(self, request: Request, view: Any) -> dict[str, Any]:
        return {}


class ItineraryView(GenericAPIView[Itinerary]):
    queryset = Itinerary.objects.all()
    serializer_class = ItinerarySerializer
    parser_classes = [DocumentParser]
    pagination_class = Pages
    metadata_class = Metadata
    required_scope: ClassVar[str] = "itineraries"
    query_names: ClassVar[tuple[str, ...]] = ("format",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        _refuse_unknown(request.query_params, self.query_names)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, ItineraryError):
            return _answered(exc)
        if isinstance(exc, Itinerary.DoesNotExist):
            exc = Http404()
        return super().handle_exception(exc)

    def body(self, *names: str) -> dict[str, Any]:
        """The request's JSON object, of these names only; what cannot be kept in it is refused, the document apart,
        which is parsed later.
        """
        body = self.request.data
        if not isinstance(body, dict):
            raise _bad_request(_("The request must be a JSON object."))
        if isinstance(body, Doubled):
            check_values(body)
        check_values({name: value for name, value in body.items() if name != "document"}, ours=True)
        _refuse_unknown(body, names)
        return body

    def document(self) -> object:
        # What a GET gave can be sent back whole.
        body = self.body(*ItinerarySerializer().fields)
        if body.get("document") is None:
            message = _("This is required: the itinerary in Crusoe's own JSON.")
            raise _bad_request(message, [Problem("document", "error", "required", message)])
        document: object = body["document"]
        return document

    def expected_version(self, itinerary_id: UUID) -> int | None:
        """The version that ``If-Match`` names: one that is not the present one for an ETag that is not ours."""
        header = self.request.headers.get("If-Match", "").strip()
        if not header:
            raise PreconditionRequired(_("Send the ETag of a GET as If-Match, so that nobody's change is lost."))
        if header == "*":
            return None
        if not re.fullmatch(rf"{_ETAG}(\s*,\s*{_ETAG})*", header):
            raise _bad_request(
                _('If-Match is no ETag: send it as a GET gave it, with its quotation marks, such as "3".')
            )
        # Compressing proxies turn "3" into W/"3"; the version is the same.
        versions = [int(found) for found in re.findall(r'(?:W/)?"(\d{1,9})"', header, re.ASCII)]
        present = Itinerary.objects.only("version").get(pk=itinerary_id).version
        return present if present in versions else -1

    def answer(self, itinerary_id: UUID, *, created: bool = False) -> Response:
        itinerary = selectors.itinerary_get(itinerary_id)
        headers = {"ETag": _etag(itinerary)}
        if created:
            headers["Location"] = self.request.build_absolute_uri(f"{self.request.path}{itinerary.pk}/")
        code = status.HTTP_201_CREATED if created else status.HTTP_200_OK
        return Response(represented(itinerary), status=code, headers=headers)


def _etag(itinerary: Itinerary) -> str:
    return f'"{itinerary.version}"'


def _bad_request(detail: str, problems: Sequence[Problem] = ()) -> ValidationError:
    return ValidationError({"detail": detail, "problems": [problem.as_json() for problem in problems]})


def _refuse_unknown(given: Mapping[str, Any], known: Sequence[str]) -> None:
    """A misspelt name would otherwise change nothing, and say nothing."""
    message = _("There is no such field.")
    unknown = [Problem(joined("", name), "error", "unknown", message) for name in given if name not in known]
    if unknown:
        raise _bad_request(_("The request has names that are not known here."), unknown[:MAX_PROBLEMS])


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


def _answered(error: ItineraryError) -> Response:
    body: dict[str, Any] = {"detail": str(error)}
    code: int = status.HTTP_409_CONFLICT
    match error:
        case DocumentError():
            code = status.HTTP_400_BAD_REQUEST
            body = {"detail": _("The document cannot be kept."), "problems": [one.as_json() for one in error.problems]}
        case NotPublishable():
            code = status.HTTP_422_UNPROCESSABLE_ENTITY
            body["problems"] = [one.as_json() for one in error.problems]
        case StaleEdit():
            code = status.HTTP_412_PRECONDITION_FAILED
            body |= {"changed_by": error.who, "changed_at": error.when and error.when.isoformat()}
        case AttemptUnderWay():
            body["state"] = error.publication.state if error.publication else PublicationState.SENDING.value
        case NotAgain():
            body |= {
                "detail": _('%(said)s To publish it all the same, send {"after": %(number)d}.')
                % {"said": error, "number": error.number},
                "state": error.publication.state if error.publication else None,
                "url": error.url or None,
                "after": error.number,
            }
        case NotConfigured():
            code = status.HTTP_502_BAD_GATEWAY
            body |= {"state": PublicationState.NOT_SENT.value, "problems": []}
        case NothingToResolve():
            pass
    return Response(body, status=code)


# As RFC 9110 writes it.
_ETAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_IF_MATCH = OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, required=True, description="The ETag of a GET.")
_GONE = OpenApiResponse(description="There is no such itinerary.")
_NO_CURSOR = OpenApiResponse(description="The cursor is none that a page gave.")
_STALE = OpenApiResponse(description="Somebody changed the itinerary since that ETag.")
_NO_ETAG = OpenApiResponse(description="If-Match is missing.")
_ACTIVE = OpenApiResponse(description="An attempt to publish is under way, or its outcome is unknown.")


# --- Views -------------------------------------------------------------------------------------------------------


class ItineraryList(ItineraryView):
    """All itineraries, and new ones."""

    query_names = (*ItineraryView.query_names, Pages.cursor_query_param)

    @extend_schema(
        operation_id="itineraries_list",
        responses={200: ItinerarySerializer(many=True), 400: RefusalSerializer, 404: _NO_CURSOR},
    )
    def get(self, request: Request) -> Response:
        page = self.paginate_queryset(Itinerary.objects.with_state())
        return self.get_paginated_response([represented(itinerary) for itinerary in page or []])

    @extend_schema(request=DocumentSerializer, responses={201: ItinerarySerializer, 400: RefusalSerializer})
    def post(self, request: Request) -> Response:
        made = services.itinerary_create(user=request.user, document=self.document())
        return self.answer(made.pk, created=True)


class ItineraryDetail(ItineraryView):
    """One itinerary. Its ETag is that of the document: publishing changes ``state`` and ``url`` only."""

    @extend_schema(operation_id="itineraries_retrieve", responses={200: ItinerarySerializer, 404: _GONE})
    def get(self, request: Request, itinerary_id: str) -> Response:
        return self.answer(_id(itinerary_id))

    @extend_schema(
        request=DocumentSerializer,
        parameters=[_IF_MATCH],
        responses={200: ItinerarySerializer, 400: RefusalSerializer, 404: _GONE, 412: _STALE, 428: _NO_ETAG},
    )
    def put(self, request: Request, itinerary_id: str) -> Response:
        itinerary = _id(itinerary_id)
        services.itinerary_replace(
            itinerary_id=itinerary,
            user=request.user,
            expected_version=self.expected_version(itinerary),
            document=self.document(),
        )
        return self.answer(itinerary)

    @extend_schema(
        parameters=[_IF_MATCH],
        responses={204: None, 400: RefusalSerializer, 404: _GONE, 409: _ACTIVE, 412: _STALE, 428: _NO_ETAG},
    )
    def delete(self, request: Request, itinerary_id: str) -> Response:
        itinerary = _id(itinerary_id)
        services.itinerary_delete(
            itinerary_id=itinerary, user=request.user, expected_version=self.expected_version(itinerary)
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


class ItineraryDocument(ItineraryView):
    """Byte for byte what publishing would POST to Crusoe now."""

    @extend_schema(operation_id="itineraries_document", responses={200: OpenApiTypes.OBJECT, 404: _GONE})
    def get(self, request: Request, itinerary_id: str) -> HttpResponse:
        itinerary = selectors.itinerary_get(_id(itinerary_id))
        content = as_bytes(document.export(selectors.itinerary_trip(itinerary)))
        return HttpResponse(content, content_type="application/json", headers={"ETag": _etag(itinerary)})


class ItineraryPublish(ItineraryView):
    required_permissions: ClassVar[dict[str, list[str]]] = {"POST": ["itineraries.publish_itinerary"]}

    @extend_schema(
        request=PublishSerializer,
        responses={
            201: PublishedSerializer,
            400: RefusalSerializer,
            404: _GONE,
            409: RefusedAttemptSerializer,
            422: RefusalSerializer,
            502: UnpublishedSerializer,
        },
    )
    def post(self, request: Request, itinerary_id: str) -> Response:
        """Publish the present document, which makes a new page on Crusoe.

        A document that is published exactly so is refused with 409, unless `after` says that you know of it: so a
        request that is sent twice makes one page.
        """
        itinerary = _id(itinerary_id)
        attempt = publishing.publish(itinerary_id=itinerary, user=request.user, after=self.after())
        if attempt.state == PublicationState.PUBLISHED:
            return Response({"state": attempt.state, "url": attempt.url}, status=status.HTTP_201_CREATED)
        return Response(_unpublished(attempt), status=status.HTTP_502_BAD_GATEWAY)

    def after(self) -> int | None:
        """The number of the latest attempt that the caller knows of."""
        after = self.body("after").get("after")
        # A boolean is an integer to Python.
        if after is not None and (isinstance(after, bool) or not isinstance(after, int) or after < 0):
            message = _("“after” is the number of an attempt, or 0 where none was made.")
            raise _bad_request(message, [Problem("after", "error", "type", message)])
        return after


class ItineraryResolve(ItineraryView):
    required_permissions: ClassVar[dict[str, list[str]]] = {"POST": ["itineraries.publish_itinerary"]}

    @extend_schema(
        request=ResolutionSerializer,
        responses={
            200: ItinerarySerializer,
            400: RefusalSerializer,
            404: _GONE,
            409: OpenApiResponse(description="No attempt has an unknown outcome."),
        },
    )
    def post(self, request: Request, itinerary_id: str) -> Response:
        body = self.body("url", "retry")
        url, retry = body.get("url"), body.get("retry", False)
        if not isinstance(retry, bool) or not (url is None or isinstance(url, str)) or bool(url) == retry:
            raise _bad_request(_('Send either {"url": "…"} or {"retry": true}.'))
        itinerary = _id(itinerary_id)
        try:
            publishing.resolve(itinerary_id=itinerary, user=request.user, url=url, retry=retry)
        except DocumentError as error:
            raise _bad_request(error.problems[0].message, error.problems) from None
        return self.answer(itinerary)


def _unpublished(attempt: Publication) -> dict[str, Any]:
    return {
        "state": attempt.state,
        "detail": attempt.detail,
        "problems": [problem.as_json() for problem in attempt.refusals],
    }
