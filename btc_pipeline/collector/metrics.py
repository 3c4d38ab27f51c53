"""What Prometheus may ask of the collector."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

_NAMESPACE: Final = "btc_pipeline_collector"


class Metrics:
    """Counters and gauges of one collector, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.frames = self._counter("frames", "frames received", "venue")
        self.connections = self._counter("connections", "connections made", "venue")
        self.disconnections = self._counter("disconnections", "connections lost or given up", "venue")
        self.landed = self._counter("minutes_landed", "minutes that reached the database or the spool", "symbol")
        self.refused = self._counter("rows_refused", "frames and rows that could not be taken", "symbol")
        self.rest_requests = self._counter("rest_requests", "looks at the exchange's REST", "venue", "outcome")
        self.spool_full = self._counter("minutes_not_spooled", "minutes for which the spool had no room")
        self.trades_kept = self._counter("trades_kept", "raw trades that the database has")
        self.trades_dropped = self._counter("trades_dropped", "raw trades for which there was no room")
        self.buffered = self._gauge("buffered_minutes", "closed minutes that wait for the database")
        self.spooled = self._gauge("spooled_minutes", "minutes on disk that wait for the database")
        self.spooled_bytes = self._gauge("spooled_bytes", "size of the spool")
        self.clock_offset = self._gauge("clock_offset_seconds", "the exchange's clock minus this machine's", "venue")
        self.age = self._gauge("last_minute_age_seconds", "since the newest landed minute closed", "symbol")
        self.open_gaps = self._gauge("open_gap_minutes", "missing minutes that REST still has", "symbol")
        self.deviation = self._gauge(
            "cross_check_deviation_bps", "distance of two symbols' basis from its rolling median", "symbol", "against"
        )

    def serve(self, host: str, port: int) -> None:
        """Answers `GET /metrics` in a thread of its own.

        Raises:
            OSError: the address is taken.
        """
        start_http_server(port, addr=host, registry=self.registry)

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(name, help_, labels, namespace=_NAMESPACE, registry=self.registry)

    def _gauge(self, name: str, help_: str, *labels: str) -> Gauge:
        return Gauge(name, help_, labels, namespace=_NAMESPACE, registry=self.registry)
