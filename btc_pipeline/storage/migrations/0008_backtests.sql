-- Backtests: runs, their trades and their equity. Their decisions are in `decisions`, with the run's id.
-- depends: 0007_trades

CREATE TABLE backtest_runs (
    id             uuid PRIMARY KEY,
    group_id       uuid NOT NULL,
    run_key        text,
    lookup_key     text,
    result_hash    text,
    status         text NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed')),
    symbol         text NOT NULL,
    interval       text NOT NULL,
    strategy       text NOT NULL,
    configuration  jsonb NOT NULL,
    results        jsonb,
    message        text,
    progress       double precision NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    dagster_run_id text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    started_at     timestamptz,
    finished_at    timestamptz,
    CHECK (status <> 'done' OR (run_key IS NOT NULL AND result_hash IS NOT NULL AND results IS NOT NULL))
);
COMMENT ON COLUMN backtest_runs.run_key IS 'digest of everything that can change the result';
COMMENT ON COLUMN backtest_runs.lookup_key IS 'the same by the database''s own digests, to find a run without reading';
COMMENT ON COLUMN backtest_runs.result_hash IS 'digest of every fill';
COMMENT ON COLUMN backtest_runs.configuration IS 'the request, with everything that it left open decided';
COMMENT ON COLUMN backtest_runs.message IS 'of a failed run why, in words';
CREATE INDEX backtest_runs_created ON backtest_runs (created_at, id);
CREATE INDEX backtest_runs_group ON backtest_runs (group_id);
CREATE INDEX backtest_runs_key ON backtest_runs (run_key) WHERE status = 'done';
CREATE INDEX backtest_runs_lookup ON backtest_runs (lookup_key) WHERE status = 'done';
CREATE INDEX backtest_runs_busy ON backtest_runs (status) WHERE status IN ('queued', 'running');

CREATE TABLE backtest_trades (
    backtest_id uuid NOT NULL REFERENCES backtest_runs (id) ON DELETE CASCADE,
    number      integer NOT NULL,
    entry_time  timestamptz NOT NULL,
    exit_time   timestamptz NOT NULL,
    side        smallint NOT NULL CHECK (side IN (-1, 1)),
    quantity    double precision NOT NULL,
    entry_price double precision NOT NULL,
    exit_price  double precision NOT NULL,
    fees        double precision NOT NULL,
    funding     double precision NOT NULL,
    profit      double precision NOT NULL,
    reason      text NOT NULL,
    PRIMARY KEY (backtest_id, number)
);
COMMENT ON COLUMN backtest_trades.side IS '1 long, -1 short';
COMMENT ON COLUMN backtest_trades.exit_time IS 'of an open trade the end of the run, to whose last price it is marked';
COMMENT ON COLUMN backtest_trades.profit IS 'quote currency, after fees and funding';

CREATE TABLE backtest_equity (
    backtest_id uuid NOT NULL REFERENCES backtest_runs (id) ON DELETE CASCADE,
    time        timestamptz NOT NULL,
    equity      double precision NOT NULL,
    equity_base double precision,
    drawdown    double precision NOT NULL,
    PRIMARY KEY (backtest_id, time)
);
COMMENT ON COLUMN backtest_equity.time IS 'the start of the run, and every midnight (UTC) that ends one of its days';
COMMENT ON COLUMN backtest_equity.equity_base IS 'base currency at that moment''s last price; NULL before there is one';
COMMENT ON COLUMN backtest_equity.drawdown IS 'fraction below the highest equity so far, 0 or negative';

CREATE INDEX decisions_of_backtests ON decisions (backtest_id, time) WHERE backtest_id IS NOT NULL;
