"""Tests of everything live together: replay exchange, collector, database and the live lane, mostly on virtual time."""
