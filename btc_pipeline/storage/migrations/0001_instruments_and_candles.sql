-- Instruments, their minutes and bars, and everything that is known about minutes.
-- depends:

CREATE TABLE instruments (
    symbol          text PRIMARY KEY,
    venue           text NOT NULL,
    venue_symbol    text NOT NULL,
    price_decimals  smallint NOT NULL CHECK (price_decimals BETWEEN 0 AND 15),
    volume_decimals smallint NOT NULL CHECK (volume_decimals BETWEEN 0 AND 15),
    quote_decimals  smallint NOT NULL CHECK (quote_decimals BETWEEN 0 AND 15),
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (venue, venue_symbol)
);

CREATE TABLE candles (
    time             timestamptz NOT NULL,
    symbol           text NOT NULL,
    interval         text NOT NULL,
    open             double precision NOT NULL,
    high             double precision NOT NULL,
    low              double precision NOT NULL,
    close            double precision NOT NULL,
    volume           double precision NOT NULL,
    quote_volume     double precision,
    taker_buy_volume double precision,
    trades           bigint,
    minutes          integer NOT NULL,
    quiet_minutes    integer NOT NULL,
    expected_minutes integer NOT NULL,
    usable           boolean NOT NULL,
    status           text NOT NULL CHECK (status IN ('provisional', 'confirmed', 'revised', 'tainted', 'derived')),
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, interval, time)
);
COMMENT ON COLUMN candles.time IS 'open time, UTC';
COMMENT ON COLUMN candles.status IS 'of a minute: how far its source vouches for it; bars of other intervals are derived';

CREATE TABLE candle_revisions (
    time             timestamptz NOT NULL,
    symbol           text NOT NULL,
    interval         text NOT NULL DEFAULT '1m',
    open             double precision NOT NULL,
    high             double precision NOT NULL,
    low              double precision NOT NULL,
    close            double precision NOT NULL,
    volume           double precision NOT NULL,
    quote_volume     double precision,
    taker_buy_volume double precision,
    trades           bigint,
    status           text NOT NULL,
    recorded_at      timestamptz NOT NULL,
    superseded_at    timestamptz NOT NULL DEFAULT now(),
    reason           text NOT NULL,
    PRIMARY KEY (symbol, interval, time, superseded_at)
);
COMMENT ON TABLE candle_revisions IS 'minutes as they were known in [recorded_at, superseded_at)';

CREATE TABLE vouched_minutes (
    symbol      text NOT NULL,
    day         date NOT NULL,
    minutes     bytea NOT NULL CHECK (length(minutes) = 180),
    source      text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, day, recorded_at)
);
COMMENT ON TABLE vouched_minutes IS
    'minutes without a row in which, says the source, nothing traded; the latest row of a day holds';
COMMENT ON COLUMN vouched_minutes.minutes IS 'one bit a minute of the day, 00:00 first, most significant bit first';

CREATE TABLE data_quality (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('gap', 'rejected_row', 'anomaly', 'failure')),
    symbol      text NOT NULL,
    interval    text NOT NULL DEFAULT '1m',
    start_time  timestamptz,
    end_time    timestamptz,
    reason      text NOT NULL,
    payload     jsonb,
    retries     integer NOT NULL DEFAULT 0,
    detected_at timestamptz NOT NULL DEFAULT now(),
    retried_at  timestamptz,
    resolved    boolean NOT NULL DEFAULT false,
    resolved_at timestamptz
);
CREATE UNIQUE INDEX data_quality_open_gaps ON data_quality (symbol, start_time, end_time)
    WHERE kind = 'gap' AND NOT resolved;
CREATE INDEX data_quality_by_symbol ON data_quality (symbol, start_time);

CREATE TABLE partition_digests (
    asset          text NOT NULL,
    symbol         text NOT NULL,
    day            date NOT NULL,
    content_digest text,
    inputs_digest  text,
    rows           integer,
    last_time      timestamptz,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (asset, symbol, day)
);
COMMENT ON COLUMN partition_digests.content_digest IS 'digest of the values of that day; NULL: touched, and not looked at since';
COMMENT ON COLUMN partition_digests.inputs_digest IS 'digest of the code, the settings and the content it was made from';
