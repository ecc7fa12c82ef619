"""How operators spell headings, states and kinds, in English and Spanish."""

from __future__ import annotations

import unicodedata

from fleet.vocabulary import Kind, State

HEADINGS: dict[str, str] = {
    spelling: column
    for column, spellings in {
        "id": "id vehicleid idvehicle idvehiculo vehiculoid carid fleetid externalid identifier identificador code codigo",
        "plate": "plate numberplate plateno platenumber licenseplate licenceplate licenseplatenumber registration "
        "registrationnumber regno rego matricula patente placa",
        "vin": "vin vinnumber chassisnumber chassis bastidor numerodebastidor serialnumber numerodeserie",
        "kind": "kind type vehicletype tipo tipodevehiculo",
        "model": "model vehiclemodel modelo",
        "country": "country countrycode pais codigopais",
        "city": "city town ciudad localidad municipio",
        "latitude": "latitude lat latitud",
        "longitude": "longitude lon lng long longitud",
        "position": "position location coordinates coordinate geocoordinate geocoordinates latlng latlon gps posicion "
        "ubicacion coordenadas",
        "battery": "battery batterylevel batterypercent batterypercentage batterypct energylevel fuellevel fuel soc "
        "stateofcharge charge bateria niveldebateria nivelbateria carga",
        "state": "state status vehiclestate vehiclestatus estado estadovehiculo",
        "last_signal_at": "lastsignal lastsignalat lastseen lastseenat lastreported lastcontact lastheard ultimasenal "
        "ultimocontacto ultimaconexion",
        "free": "active freeforrental available isavailable disponible activo",
    }.items()
    for spelling in spellings.split()
}

# What a heading may stand for, in the order in which a person is offered them.
COLUMNS = tuple(dict.fromkeys(HEADINGS.values()))

_STATES: dict[str, State] = {
    spelling: state
    for state, spellings in {
        State.AVAILABLE: "available free idle ready disponible libre",
        State.RESERVED: "reserved booked reservado reservada",
        State.ON_TRIP: "ontrip intrip inuse rented rental alquilado alquilada enuso enviaje",
        State.NON_OPERATIONAL: "nonoperational outofservice outoforder disabled inactive maintenance unavailable "
        "notavailable fueradeservicio mantenimiento inactivo inactiva averiado averiada nodisponible",
        State.NON_CONTACTABLE: "noncontactable nocontact offline unreachable sincontacto sinconexion",
        State.MISSING: "missing lost stolen perdido perdida robado robada",
        State.ELSEWHERE: "elsewhere outofarea fueradezona",
        State.REMOVED: "removed retired decommissioned retirado retirada baja",
    }.items()
    for spelling in spellings.split()
}

_KINDS: dict[str, Kind] = {
    spelling: kind
    for kind, spellings in {
        Kind.CAR: "car auto automobile coche automovil turismo",
        Kind.MOPED: "moped ciclomotor",
        Kind.SCOOTER_SEATED: "scooterseated seatedscooter scooter",
        Kind.SCOOTER_STANDING: "scooterstanding kickscooter standingscooter patinete patin",
        Kind.MOTORCYCLE: "motorcycle motorbike moto motocicleta",
        Kind.BICYCLE: "bicycle bike ebike bicicleta bici",
        Kind.CARGO_BICYCLE: "cargobicycle cargobike bicicletadecarga",
        Kind.TRUCK: "truck van furgoneta camion vanortruck",
        Kind.OTHER: "other otro",
    }.items()
    for spelling in spellings.split()
}

YES = frozenset({"1", "true", "t", "yes", "y", "si", "s", "verdadero", "x"})
NO = frozenset({"0", "false", "f", "no", "n", "falso"})


def bare(text: str) -> str:
    """Text without case, accents, spaces and signs: what two spellings of a heading have in common."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if character.isalnum())


def heading_named(text: str) -> str | None:
    """The column that a heading stands for, or None for one that means nothing to us."""
    return HEADINGS.get(bare(text))


def state_named(text: str) -> State | None:
    return _STATES.get(bare(text))


def kind_named(text: str) -> Kind | None:
    return _KINDS.get(bare(text))
