"""Suites and clients written by others, run against a real gateway; `make referees`."""
