-- orders in partitions by the month of created_at, which retention can drop whole. PostgreSQL's keys are a partition's
-- own, so created_at is part of it: two events of one order_id with different times are both stored, as
-- `sesacctl db check` says.
-- In one transaction; it waits for, and holds up, what writes orders. pg_partman can make the coming months.
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER TABLE orders RENAME TO orders_before;
ALTER TABLE orders_before DROP CONSTRAINT orders_pkey;
DROP INDEX ix_orders_created_at;
CREATE TABLE orders (
    LIKE orders_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    CONSTRAINT orders_pkey PRIMARY KEY (order_id, created_at),
    CONSTRAINT orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users,
    CONSTRAINT orders_product_id_fkey FOREIGN KEY (product_id) REFERENCES products
) PARTITION BY RANGE (created_at);
CREATE INDEX ix_orders_created_at ON orders (created_at);
DO $$
DECLARE
    month date := (SELECT date_trunc('month', least(min(created_at), now())) FROM orders_before);
BEGIN
    WHILE month < now() + interval '3 months' LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF orders FOR VALUES FROM (%L) TO (%L)',
                       'orders_' || to_char(month, 'YYYY_MM'), month, month + interval '1 month');
        month := month + interval '1 month';
    END LOOP;
    CREATE TABLE orders_other PARTITION OF orders DEFAULT;
END $$;
INSERT INTO orders SELECT * FROM orders_before;
DROP TABLE orders_before;
COMMIT;
