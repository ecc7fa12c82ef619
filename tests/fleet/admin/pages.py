"""What the tests of the fleet's pages in the admin share: who is signed in, addresses, and what a page says."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from fleet.models import VehicleChange

LIST = reverse("admin:fleet_vehicle_changelist")
CHANGES = reverse("admin:fleet_vehiclechange_changelist")
SAVE_FILTER = reverse("admin:fleet_vehicle_filter_save")
BACKEND = "users.backends.UsernameOrEmailBackend"


def signed_in(name: str, *permissions: str) -> Client:
    user = get_user_model().objects.create_user(name, f"{name}@example.org", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user, BACKEND)
    return client


def state_url(vehicle: str = "ES-1") -> str:
    return reverse("admin:fleet_vehicle_state", args=[vehicle])


def undo_url(change: VehicleChange) -> str:
    return reverse("admin:fleet_vehicle_undo", args=[change.vehicle_id, change.pk])


def told(client: Client, answer) -> str:
    """The messages that the next page shows."""
    page = client.get(answer["Location"], follow=True) if answer.status_code == 302 else answer
    return " ".join(str(message) for message in page.context["messages"])


def acted(client: Client, action: str, *ids: str, query: str = "", **more: str):
    return client.post(f"{LIST}{query}", {"action": action, "_selected_action": ids, "index": "0", **more})
