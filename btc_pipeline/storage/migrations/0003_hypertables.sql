-- Hypertables where the timescaledb extension is there, compression where its licence allows it; else plain tables.
-- depends: 0002_indicators_and_decisions

-- Creating the extension where it is not preloaded is a FATAL error, which no exception handler sees: ask first.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
        AND current_setting('shared_preload_libraries') LIKE '%timescaledb%'
    THEN
        CREATE EXTENSION timescaledb;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'timescaledb cannot be enabled (%): using plain tables', SQLERRM;
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
