-- Orders for backtests: what is asked for twice is made once, and every order's group leads to all of its runs.
-- depends: 0009_sweeps

CREATE TABLE backtest_groups (
    group_id    uuid NOT NULL,
    backtest_id uuid NOT NULL REFERENCES backtest_runs (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, backtest_id)
);
COMMENT ON TABLE backtest_groups IS 'runs that an order found made, queued or running, beside those whose group_id it is';
CREATE INDEX backtest_groups_run ON backtest_groups (backtest_id);

-- A run that waits or runs has its key from the order on, so that an equal order finds it.
CREATE UNIQUE INDEX backtest_runs_asked ON backtest_runs (lookup_key) WHERE status IN ('queued', 'running');
