"""The road to the database is light: what costs memory is not loaded on it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("pandas", "pandera", "pyarrow", "adbc_driver_manager", "psycopg", "dagster", "duckdb")
MODULES = ("store", "quality", "database", "spool", "landing", "repair")


def test_store_spool_landing_and_repair_load_no_heavy_package():
    imports = "; ".join(f"import btc_pipeline.collector.{name}" for name in MODULES)
    report = f"import sys; {imports}; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
