-- Sweeps: figures by sets of parameters, as runs of the job bring them, each a part of the whole.
-- depends: 0008_backtests

CREATE TABLE sweeps (
    sweep_key     text PRIMARY KEY,
    configuration jsonb NOT NULL,
    sets          integer NOT NULL CHECK (sets > 0),
    created_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN sweeps.sweep_key IS 'digest of everything that can change a row, the grid included, the part not';
COMMENT ON COLUMN sweeps.sets IS 'how many rows the whole has';

CREATE TABLE sweep_rows (
    sweep_key  text NOT NULL REFERENCES sweeps (sweep_key) ON DELETE CASCADE,
    number     integer NOT NULL CHECK (number >= 0),
    parameters jsonb NOT NULL,
    figures    double precision[] NOT NULL,
    PRIMARY KEY (sweep_key, number)
);
COMMENT ON COLUMN sweep_rows.number IS 'place in the grid, from 0';
COMMENT ON COLUMN sweep_rows.figures IS 'metrics in the order of backtest/metrics.py, NULL where undefined';
