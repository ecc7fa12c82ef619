"""What the REST interface of itineraries takes and gives, as the OpenAPI document tells it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from itineraries.errors import Problem
from itineraries.models import Itinerary, ItineraryState


class ProblemSerializer(serializers.Serializer[Problem]):
    path = serializers.CharField(help_text="Such as `segments[1].options[0].price.currentAmount`; empty: the whole.")
    level = serializers.ChoiceField(choices=["error", "warning"])
    code = serializers.CharField()
    message = serializers.CharField()


class ItinerarySerializer(serializers.Serializer[Itinerary]):
    id = serializers.UUIDField()
    state = serializers.ChoiceField(choices=ItineraryState.choices)
    url = serializers.CharField(allow_null=True, help_text="Where Crusoe shows the latest publication.")
    document = serializers.JSONField(help_text="The itinerary in Crusoe's own JSON.")
    problems = ProblemSerializer(many=True)


class DocumentSerializer(serializers.Serializer[Any]):
    document = serializers.JSONField(help_text="The itinerary in Crusoe's own JSON; an incomplete one is a draft.")


class RefusalSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()
    problems = ProblemSerializer(many=True)


class PublishSerializer(serializers.Serializer[Any]):
    after = serializers.IntegerField(
        required=False,
        min_value=0,
        help_text="The number of the latest attempt that you know of, as a 409 gives it, or 0 for none. With it, a "
        "document that is published already is published once more; 409 if a later attempt was made.",
    )


class RefusedAttemptSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()
    state = serializers.CharField(allow_null=True, help_text="That of the latest attempt; null before the first.")
    url = serializers.CharField(
        required=False, allow_null=True, help_text="The present address; left out while an attempt stands in the way."
    )
    after = serializers.IntegerField(
        required=False, help_text="What to send to publish all the same; left out while an attempt stands in the way."
    )


class PublishedSerializer(serializers.Serializer[Any]):
    state = serializers.CharField(help_text="Always `published`.")
    url = serializers.CharField()


class UnpublishedSerializer(serializers.Serializer[Any]):
    state = serializers.CharField(help_text="`rejected`, `unknown` or `not_sent`.")
    detail = serializers.CharField()
    problems = ProblemSerializer(many=True)


class ResolutionSerializer(serializers.Serializer[Any]):
    url = serializers.CharField(required=False, help_text="The trip is there, and this is its address.")
    retry = serializers.BooleanField(required=False, help_text="True: it is not there and may be published again.")
