"""Tests of the `btc-pipeline` command."""
