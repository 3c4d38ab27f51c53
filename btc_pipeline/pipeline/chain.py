"""The whole chain for one symbol: every asset's body in order, without an orchestrator."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.resampling import UsabilityRule
from btc_pipeline.pipeline.bars import refresh_bars
from btc_pipeline.pipeline.catalogue import MINUTES_ASSET, Catalogue
from btc_pipeline.pipeline.decisions import refresh_decisions
from btc_pipeline.pipeline.indicators import refresh_indicators
from btc_pipeline.pipeline.minutes import refresh_minutes
from btc_pipeline.pipeline.refresh import Report
from btc_pipeline.storage.connection import Database


@dataclass(frozen=True, slots=True)
class Chain:
    """What the bodies of all assets need."""

    database: Database
    catalogue: Catalogue
    rule: UsabilityRule

    def refresh(
        self,
        instrument: Instrument,
        days: range,
        now: int,
        *,
        assets: Collection[str] | None = None,
        verify_only: bool = False,
    ) -> dict[str, Report]:
        """Brings assets (all by default) up to date in the days (since 1970-01-01); returns a report an asset."""
        with self.database.kept() as database:
            return self._refresh(database, instrument, days, now, assets, verify_only=verify_only)

    def _refresh(
        self,
        database: Database,
        instrument: Instrument,
        days: range,
        now: int,
        assets: Collection[str] | None,
        *,
        verify_only: bool,
    ) -> dict[str, Report]:
        wanted = set(self.catalogue.names if assets is None else assets)
        warm_up = self.catalogue.warm_ups.get(instrument.symbol)
        reports: dict[str, Report] = {}
        if MINUTES_ASSET in wanted:
            reports[MINUTES_ASSET] = refresh_minutes(database, instrument, days, now, verify_only=verify_only)
        bars = [asset for asset in self.catalogue.bars if asset.name in wanted]
        if bars:
            reports |= refresh_bars(database, bars, instrument, days, self.rule, now, verify_only=verify_only)
        for indicators in self.catalogue.indicators:
            if indicators.name in wanted:
                reports[indicators.name] = refresh_indicators(
                    database, indicators, instrument, days, now, warm_up, verify_only=verify_only
                )
        for decisions in self.catalogue.decisions:
            if decisions.name in wanted:
                reports[decisions.name] = refresh_decisions(
                    database, decisions, instrument, days, now, warm_up, verify_only=verify_only
                )
        return reports
