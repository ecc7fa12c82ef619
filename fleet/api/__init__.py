"""The fleet's part of the REST API: vehicles in CityTrips' own shape, and what devices report of them."""
