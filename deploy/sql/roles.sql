-- Three roles, so that a worker cannot change the schema and a reader cannot change a row:
--   sesac_migrate   owns the tables; for `sesacctl db init` and `sesacctl db migrate`
--   sesac_worker    for `cache refresh`, `produce`, `consume`, `db seed` and the library
--   sesac_readonly  for `db check`, `lag`, `audit`, `health` and people
--
-- Run it in the pipeline's database as an administrator, before or after `sesacctl db init`, as often as you like:
--   psql -d sesac_db -f deploy/sql/roles.sql
-- With POSTGRES_SCHEMA=shop, make that schema first, and let the session work in it:
--   PGOPTIONS='-c search_path=shop' psql -d sesac_db -f deploy/sql/roles.sql
-- then give each role its password with `\password sesac_worker` and so on.

BEGIN;

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['sesac_migrate', 'sesac_worker', 'sesac_readonly'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', role_name);
        END IF;
    END LOOP;
    EXECUTE format('GRANT CREATE, CONNECT, TEMPORARY ON DATABASE %I TO sesac_migrate', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO sesac_worker', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO sesac_readonly', current_database());
END
$$;

-- An administrator without superuser rights (RDS, Supabase) may act for a role only as its member.
GRANT sesac_migrate TO CURRENT_USER;

DO $$
DECLARE
    place text := current_schema();
    table_name text;
BEGIN
    IF place IS NULL THEN
        RAISE EXCEPTION 'search_path names no schema: create it, or set search_path';
    END IF;
    -- Until PostgreSQL 14 everybody may create tables in `public`.
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', place);
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO sesac_migrate', place);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO sesac_worker, sesac_readonly', place);

    -- Tables of later migrations.
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE sesac_migrate IN SCHEMA %I'
        ' GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO sesac_worker', place);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE sesac_migrate IN SCHEMA %I'
        ' GRANT SELECT ON TABLES TO sesac_readonly', place);

    -- Tables that are there already.
    FOREACH table_name IN ARRAY ARRAY[
        'users', 'products', 'orders', 'sink_offsets', 'dead_letters', 'parked_events', 'log_cuts', 'row_changes',
        'forgotten_users', 'sesacctl_version'
    ] LOOP
        CONTINUE WHEN to_regclass(format('%I.%I', place, table_name)) IS NULL;
        EXECUTE format('ALTER TABLE %I.%I OWNER TO sesac_migrate', place, table_name);
        EXECUTE format('GRANT SELECT ON %I.%I TO sesac_worker, sesac_readonly', place, table_name);
        IF table_name = 'sesacctl_version' THEN
            EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I.%I FROM sesac_worker', place, table_name);
        ELSE
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %I.%I TO sesac_worker', place, table_name);
        END IF;
    END LOOP;
END
$$;

COMMIT;
