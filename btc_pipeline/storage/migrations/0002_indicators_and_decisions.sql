-- What is computed from bars: indicator values, and the log of decisions, which only grows.
-- depends: 0001_instruments_and_candles

CREATE TABLE indicator_definitions (
    indicator_name text PRIMARY KEY,
    indicator      text NOT NULL,
    output         text NOT NULL,
    parameters     jsonb NOT NULL
);

CREATE TABLE indicators (
    time           timestamptz NOT NULL,
    symbol         text NOT NULL,
    interval       text NOT NULL,
    indicator_name text NOT NULL,
    value          double precision NOT NULL,
    settled        boolean NOT NULL,
    PRIMARY KEY (symbol, interval, indicator_name, time)
);
COMMENT ON COLUMN indicators.time IS 'open time of the bar, UTC';
COMMENT ON COLUMN indicators.settled IS 'false: made from fewer bars than the window holds';

CREATE TABLE decisions (
    time               timestamptz NOT NULL,
    symbol             text NOT NULL,
    interval           text NOT NULL,
    strategy           text NOT NULL,
    parameters         jsonb NOT NULL,
    backtest_id        uuid,
    version            integer NOT NULL,
    withdrawn          boolean NOT NULL DEFAULT false,
    target             smallint CHECK (target BETWEEN -1 AND 1),
    type               text NOT NULL CHECK (type IN ('OPEN_LONG', 'OPEN_SHORT', 'CLOSE_LONG', 'CLOSE_SHORT', 'HOLD')),
    confidence         double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    reasons            text[] NOT NULL,
    indicator_snapshot jsonb NOT NULL,
    input_digest       text NOT NULL,
    origin             text NOT NULL CHECK (origin IN ('live', 'backfill', 'repair')),
    recorded_at        timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN decisions.time IS 'open time of the bar, UTC; the decision is made at its close';
COMMENT ON COLUMN decisions.target IS '-1 short, 0 flat, 1 long; NULL: no opinion';
COMMENT ON COLUMN decisions.withdrawn IS 'the bar is gone: this version takes the decision back';
CREATE UNIQUE INDEX decisions_versions ON decisions (symbol, interval, strategy, parameters, time, version)
    WHERE backtest_id IS NULL;

CREATE VIEW current_decisions AS
SELECT *
FROM (
    SELECT DISTINCT ON (symbol, interval, strategy, parameters, time) *
    FROM decisions
    WHERE backtest_id IS NULL
    ORDER BY symbol, interval, strategy, parameters, time, version DESC
) latest
WHERE NOT withdrawn;

CREATE VIEW data_health AS
SELECT
    i.symbol,
    i.venue,
    d.first_day,
    d.last_day,
    d.last_time AS last_minute,
    coalesce(d.minutes, 0) AS minutes,
    coalesce(d.touched_days, 0) AS touched_days,
    coalesce(q.open_gaps, 0) AS open_gaps,
    coalesce(q.missing_minutes, 0) AS missing_minutes,
    coalesce(q.rejected_rows, 0) AS rejected_rows
FROM instruments i
LEFT JOIN (
    SELECT
        symbol,
        min(day) AS first_day,
        max(day) AS last_day,
        max(last_time) AS last_time,
        sum(rows) AS minutes,
        count(*) FILTER (WHERE content_digest IS NULL) AS touched_days
    FROM partition_digests
    WHERE asset = 'candles_1m'
    GROUP BY symbol
) d USING (symbol)
LEFT JOIN (
    SELECT
        symbol,
        count(*) FILTER (WHERE kind = 'gap') AS open_gaps,
        (sum(extract(epoch FROM end_time - start_time)) FILTER (WHERE kind = 'gap') / 60)::bigint AS missing_minutes,
        count(*) FILTER (WHERE kind = 'rejected_row') AS rejected_rows
    FROM data_quality
    WHERE NOT resolved
    GROUP BY symbol
) q USING (symbol);
