-- The collector's state, and since which minute a day's minutes have changed.
-- depends: 0003_hypertables

ALTER TABLE partition_digests ADD COLUMN touched_from timestamptz, ADD COLUMN touched_at timestamptz;
COMMENT ON COLUMN partition_digests.touched_from IS 'the earliest minute that changed since the day was last looked at';
COMMENT ON COLUMN partition_digests.touched_at IS 'when the first of those changes came';

CREATE TABLE collector_state (
    symbol           text PRIMARY KEY,
    feed             text NOT NULL CHECK (feed IN ('live', 'replay')),
    process          text NOT NULL,
    connection       text NOT NULL,
    message          text NOT NULL,
    started_at       timestamptz NOT NULL,
    heartbeat_at     timestamptz NOT NULL,
    connected_at     timestamptz,
    last_frame_at    timestamptz,
    last_minute      timestamptz,
    accounted_until  timestamptz,
    minutes_landed   bigint NOT NULL DEFAULT 0,
    spooled_minutes  bigint NOT NULL DEFAULT 0,
    spooled_bytes    bigint NOT NULL DEFAULT 0,
    clock_offset_ms  double precision,
    exchange_at      timestamptz
);
COMMENT ON COLUMN collector_state.process IS 'HOST/PID';
COMMENT ON COLUMN collector_state.connection IS 'connecting, catching_up, streaming, rest_only, unreachable, stopped';
COMMENT ON COLUMN collector_state.message IS 'what it is doing or what is wrong, in words';
COMMENT ON COLUMN collector_state.heartbeat_at IS 'when its loop last turned; says nothing of progress';
COMMENT ON COLUMN collector_state.last_minute IS 'open time of the newest minute that it landed';
COMMENT ON COLUMN collector_state.accounted_until IS
    'all closed minutes before this time have landed, or the exchange was asked and has none: the progress';
COMMENT ON COLUMN collector_state.clock_offset_ms IS 'the exchange''s clock minus this machine''s';
COMMENT ON COLUMN collector_state.exchange_at IS 'the exchange''s time at the heartbeat, as the collector reckons it';

DROP VIEW data_health;
CREATE VIEW data_health AS
SELECT
    i.symbol,
    i.venue,
    d.first_day,
    d.last_day,
    d.last_time AS last_minute,
    coalesce(d.minutes, 0) AS minutes,
    coalesce(d.touched_days, 0) AS touched_days,
    coalesce(d.neglected_days, 0) AS neglected_days,
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
        count(*) FILTER (WHERE content_digest IS NULL) AS touched_days,
        count(*) FILTER (WHERE content_digest IS NULL AND touched_at < now() - interval '90 minutes') AS neglected_days
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
COMMENT ON COLUMN data_health.touched_days IS 'days whose minutes changed since they were last looked at; today is one while minutes arrive';
COMMENT ON COLUMN data_health.neglected_days IS 'days among them that nobody has looked at for an hour and a half';
