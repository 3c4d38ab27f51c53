-- Files of venues' archives whose minutes are stored.
-- depends: 0004_collector

CREATE TABLE downloads (
    symbol       text NOT NULL,
    name         text NOT NULL,
    url          text NOT NULL,
    sha256       text NOT NULL CHECK (length(sha256) = 64),
    bytes        bigint NOT NULL,
    start_time   timestamptz NOT NULL,
    end_time     timestamptz NOT NULL,
    rows         bigint NOT NULL,
    first_time   timestamptz NOT NULL,
    last_time    timestamptz NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, name, sha256)
);
COMMENT ON TABLE downloads IS 'every file whose minutes were stored, with its checksum; a file issued again is another row';
COMMENT ON COLUMN downloads.start_time IS 'what the file is of, whether or not it has a row there: from start_time, before end_time';
COMMENT ON COLUMN downloads.first_time IS 'open time of its first row, UTC';
