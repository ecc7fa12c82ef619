"""Eight invented people: two who work here, and six customers and colleagues of three countries."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from backoffice.demo.login import STAFF_USERNAME
from users.models import User
from users.services import user_create


@dataclass(frozen=True)
class Person:
    username: str
    first_name: str
    last_name: str
    language: str
    time_zone: str
    groups: tuple[str, ...] = ()
    is_staff: bool = False
    is_superuser: bool = False


PEOPLE = (
    Person(STAFF_USERNAME, "Ana", "Martín Robles", "", "Europe/Madrid", is_staff=True, is_superuser=True),
    Person("viewer", "Tomás", "Sepúlveda Araya", "", "America/Santiago", ("Viewer",), is_staff=True),
    Person("lucia", "Lucía", "Fernández Ortega", "es", "Europe/Madrid", ("Fleet",)),
    Person("matias", "Matías", "Fuentealba Rojas", "es", "America/Santiago", ("Itineraries",)),
    Person("charlotte", "Charlotte", "Nguyen", "en", "Australia/Sydney", ("Itineraries",)),
    Person("javier", "Javier", "Ibáñez Soler", "es", "Europe/Madrid"),
    Person("constanza", "Constanza", "Muñoz Lagos", "es", "America/Santiago"),
    Person("liam", "Liam", "O'Brien", "en", "Australia/Sydney"),
)


@transaction.atomic
def load(*, staff_password: str | None) -> int:
    """Make those who are missing, and return how many; who is there stays as they are, and a taken name is left alone.

    Staff get ``staff_password``, and nobody else has a password. The addresses are of a domain that cannot exist.
    """
    made = 0
    for person in PEOPLE:
        email = f"{person.username}@operator.example"
        if User.objects.filter(username=person.username).exists() or User.objects.filter(email_key=email).exists():
            continue
        user_create(
            username=person.username,
            email=email,
            password=staff_password if person.is_staff else None,
            first_name=person.first_name,
            last_name=person.last_name,
            language=person.language,
            time_zone=person.time_zone,
            is_staff=person.is_staff,
            is_superuser=person.is_superuser,
            is_demo=True,
            groups=person.groups,
        )
        made += 1
    return made


@transaction.atomic
def remove() -> int:
    """Delete the invented people, with their tokens, and return how many they were."""
    people = list(User.objects.filter(is_demo=True))
    User.objects.filter(pk__in=[person.pk for person in people]).delete()
    return len(people)
