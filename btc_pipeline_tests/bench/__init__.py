"""The figures of `docs/benchmarks.md`: `make bench`, or `python -m btc_pipeline_tests.bench import materialize`.

Belongs here: measuring, side by side in one run, and saying what was measured. Does not belong here: whether a result
is right (the tests), beyond the proof that the two sides of a ratio did the same work.
"""
