#!/usr/bin/env bash
# Run the tests marked "timescale" against a real TimescaleDB: the one at TEST_TIMESCALE_URL, or one started here from
# Debian's packages in .cache/timescale (made once, about a minute, needs root). Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-.venv/bin/python}
ROOT=$PWD/.cache/timescale
PROGRAMS=/usr/lib/postgresql/17/bin
export DEBIAN_FRONTEND=noninteractive

say() { echo "timescale: $*" >&2; }

run_tests() { "$PYTHON" -m pytest -m timescale "$@"; }

install_server() {
  if ! command -v debootstrap >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq debootstrap >/dev/null
  fi
  say "installing postgresql-17-timescaledb into .cache/timescale (once)"
  rm -rf "$ROOT"
  mkdir -p "$ROOT"
  debootstrap --variant=minbase trixie "$ROOT" >"$ROOT.log" 2>&1 || { tail -5 "$ROOT.log" >&2; exit 1; }
  # The package would make and start a server of its own, on the port of one that may run here.
  printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
  chmod +x "$ROOT/usr/sbin/policy-rc.d"
  mkdir -p "$ROOT/etc/postgresql-common"
  echo 'create_main_cluster = false' >"$ROOT/etc/postgresql-common/createcluster.conf"
  {
    chroot "$ROOT" apt-get update -qq
    chroot "$ROOT" apt-get install -y -qq --no-install-recommends postgresql-17-timescaledb
    chroot "$ROOT" apt-get clean
  } >>"$ROOT.log" 2>&1 || { tail -5 "$ROOT.log" >&2; exit 1; }
  touch "$ROOT/.ready"
}

as_postgres() { chroot --userspec=postgres:postgres "$ROOT" "$@"; }

stop_server() {
  if [ -n "${SERVER:-}" ]; then
    kill -INT "$SERVER" 2>/dev/null || true # fast: does not wait for clients
    wait "$SERVER" 2>/dev/null || true
  fi
  rm -rf "${ROOT:?}/$DATA"
}

start_server() {
  DATA=$(as_postgres mktemp -d /var/tmp/cluster.XXXXXX)
  SERVER=
  trap stop_server EXIT
  trap 'exit 130' INT TERM
  local port password
  port=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  # Anybody on this machine can reach the port, and a superuser can run programs.
  password=$("$PYTHON" -c 'import secrets; print(secrets.token_hex(16))')
  as_postgres sh -c 'printf %s "$1" >"$2/password"' - "$password" "$DATA"
  as_postgres "$PROGRAMS/initdb" -D "$DATA/pg" -U btc_bot --auth=scram-sha-256 --pwfile="$DATA/password" -E UTF8 \
    --locale=C.UTF-8 --no-sync >/dev/null
  # exec, so that $! is the server and not a shell around it.
  (exec chroot --userspec=postgres:postgres "$ROOT" "$PROGRAMS/postgres" -D "$DATA/pg" -p "$port" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories="$DATA" -c shared_preload_libraries=timescaledb \
    -c timescaledb.telemetry_level=off -c dynamic_shared_memory_type=mmap -c timezone=UTC \
    -c fsync=off -c max_connections=100 >"$ROOT.server.log" 2>&1 </dev/null) &
  SERVER=$!
  for _ in $(seq 600); do
    if as_postgres "$PROGRAMS/pg_isready" -q -h "$DATA" -p "$port"; then break; fi
    kill -0 "$SERVER" 2>/dev/null || { tail -5 "$ROOT.server.log" >&2; SERVER=; exit 1; }
    sleep 0.1
  done
  as_postgres env PGPASSWORD="$password" "$PROGRAMS/psql" -qX -v ON_ERROR_STOP=1 -h "$DATA" -p "$port" -U btc_bot -d postgres \
    -c 'CREATE DATABASE btc_data' >&2
  as_postgres env PGPASSWORD="$password" "$PROGRAMS/psql" -qX -v ON_ERROR_STOP=1 -h "$DATA" -p "$port" -U btc_bot -d btc_data \
    -c 'SET client_min_messages = error' -c 'CREATE EXTENSION timescaledb' >&2
  export TEST_TIMESCALE_URL="postgresql://btc_bot:$password@127.0.0.1:$port/btc_data"
  say "running on port $port"
}

if [ -z "${TEST_TIMESCALE_URL:-}" ]; then
  if [ "$(id -u)" != 0 ]; then
    say "set TEST_TIMESCALE_URL=postgresql://user:password@host:5432/database to a TimescaleDB, or run this as root"
    exit 1
  fi
  [ -e "$ROOT/.ready" ] || install_server
  start_server
fi
run_tests "$@"
