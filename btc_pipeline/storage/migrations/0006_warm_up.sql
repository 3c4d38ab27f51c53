-- Which values and decisions rest on another venue's minutes.
-- depends: 0005_downloads

ALTER TABLE indicators ADD COLUMN warmed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN indicators.warmed IS 'it rests on minutes of another venue, which the setting warmup lets it see';
ALTER TABLE decisions ADD COLUMN warmed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN decisions.warmed IS 'it saw minutes of another venue, which the setting warmup lets it see';

DROP VIEW current_decisions;
CREATE VIEW current_decisions AS
SELECT *
FROM (
    SELECT DISTINCT ON (symbol, interval, strategy, parameters, time) *
    FROM decisions
    WHERE backtest_id IS NULL
    ORDER BY symbol, interval, strategy, parameters, time, version DESC
) latest
WHERE NOT withdrawn;
