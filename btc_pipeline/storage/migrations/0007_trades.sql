-- Raw trades, kept only where a setting asks for them.
-- depends: 0006_warm_up

CREATE TABLE trades (
    time      timestamptz NOT NULL,
    symbol    text NOT NULL,
    trade_id  text NOT NULL,
    price     double precision NOT NULL,
    size      double precision NOT NULL,
    taker_buy boolean NOT NULL,
    PRIMARY KEY (symbol, time, trade_id)
) PARTITION BY RANGE (time);
COMMENT ON TABLE trades IS 'trades as a venue told them, in partitions of a calendar month (UTC)';
COMMENT ON COLUMN trades.trade_id IS 'the venue''s own number, unique together with time and symbol';
COMMENT ON COLUMN trades.taker_buy IS 'the aggressor bought';
