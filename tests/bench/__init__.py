"""Benchmarks over real processes, sockets and databases: ``python -m tests.bench``."""
