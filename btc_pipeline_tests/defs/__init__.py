"""Tests of what Dagster loads and runs."""
