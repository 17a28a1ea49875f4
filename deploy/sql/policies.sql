-- Row-level security for the pipeline's tables, as Supabase asks for on every table that its API serves: the roles
-- `anon` and `authenticated` get no policy, and so see no row and write none. The three roles of roles.sql work on:
--   sesac_migrate   owns the tables, and so passes
--   sesac_worker    every row, within what roles.sql grants
--   sesac_readonly  every row, to read
--
-- The schema is the first of search_path, as for roles.sql. Run it after roles.sql and `sesacctl db init`, and again
-- after `sesacctl db migrate`, as often as you like:
--   psql -d sesac_db -f deploy/sql/policies.sql

BEGIN;

DO $$
DECLARE
    place text := current_schema();
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY[
        'users', 'products', 'orders', 'sink_offsets', 'dead_letters', 'parked_events', 'log_cuts', 'row_changes',
        'forgotten_users', 'sesacctl_version'
    ] LOOP
        CONTINUE WHEN to_regclass(format('%I.%I', place, table_name)) IS NULL;
        EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', place, table_name);
        EXECUTE format('DROP POLICY IF EXISTS sesac_worker ON %I.%I', place, table_name);
        EXECUTE format('DROP POLICY IF EXISTS sesac_readonly ON %I.%I', place, table_name);
        EXECUTE format(
            'CREATE POLICY sesac_worker ON %I.%I FOR ALL TO sesac_worker USING (true) WITH CHECK (true)',
            place, table_name
        );
        EXECUTE format(
            'CREATE POLICY sesac_readonly ON %I.%I FOR SELECT TO sesac_readonly USING (true)', place, table_name
        );
    END LOOP;
END
$$;

COMMIT;
