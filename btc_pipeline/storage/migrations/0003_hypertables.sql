-- Hypertables where the timescaledb extension is there, compression where its licence allows it; else plain tables.
-- depends: 0002_indicators_and_decisions

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') THEN
        CREATE EXTENSION IF NOT EXISTS timescaledb;
    END IF;
EXCEPTION WHEN insufficient_privilege OR object_not_in_prerequisite_state OR config_file_error THEN
    RAISE NOTICE 'timescaledb is installed and cannot be enabled (%): using plain tables', SQLERRM;
END $$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        RETURN;
    END IF;
    PERFORM create_hypertable('candles', 'time', chunk_time_interval => interval '7 days', migrate_data => true, create_default_indexes => false);
    PERFORM create_hypertable('indicators', 'time', chunk_time_interval => interval '365 days', migrate_data => true, create_default_indexes => false);
    PERFORM create_hypertable('decisions', 'time', chunk_time_interval => interval '365 days', migrate_data => true, create_default_indexes => false);
    IF current_setting('timescaledb.license', true) = 'timescale' THEN
        ALTER TABLE candles SET (
            timescaledb.compress,
            timescaledb.compress_segmentby = 'symbol, interval',
            timescaledb.compress_orderby = 'time'
        );
        PERFORM add_compression_policy('candles', interval '7 days');
    END IF;
END $$;
