-- Three roles, so that a worker cannot change the schema and a reader cannot change a row:
--   sesac_migrate   owns the tables; for `sesacctl db init` and `sesacctl db migrate`
--   sesac_worker    for `cache refresh`, `produce`, `consume`, `db seed` and the library
--   sesac_readonly  for `db check`, `lag`, `audit`, `health` and people
--
-- Run it in the pipeline's database as an administrator, before or after `sesacctl db init`, as often as you like:
--   psql -d sesac_db -f deploy/sql/roles.sql
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

-- Until PostgreSQL 14 everybody may create tables in `public`.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO sesac_migrate;
GRANT USAGE ON SCHEMA public TO sesac_worker, sesac_readonly;

-- Tables of later migrations.
ALTER DEFAULT PRIVILEGES FOR ROLE sesac_migrate IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO sesac_worker;
ALTER DEFAULT PRIVILEGES FOR ROLE sesac_migrate IN SCHEMA public GRANT SELECT ON TABLES TO sesac_readonly;

-- Tables that are there already.
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY[
        'users', 'products', 'orders', 'sink_offsets', 'dead_letters', 'parked_events', 'log_cuts', 'row_changes',
        'alembic_version', 'sesacctl_version'
    ] LOOP
        CONTINUE WHEN to_regclass('public.' || table_name) IS NULL;
        EXECUTE format('ALTER TABLE public.%I OWNER TO sesac_migrate', table_name);
        EXECUTE format('GRANT SELECT ON public.%I TO sesac_worker, sesac_readonly', table_name);
        IF table_name IN ('alembic_version', 'sesacctl_version') THEN
            EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON public.%I FROM sesac_worker', table_name);
        ELSE
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON public.%I TO sesac_worker', table_name);
        END IF;
    END LOOP;
END
$$;

COMMIT;
