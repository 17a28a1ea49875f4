-- orders in 8 partitions by the hash of order_id: everything works as before, `sesacctl db check` finds no difference,
-- and one order is found once, whatever its time. In one transaction; it waits for, and holds up, what writes orders.
BEGIN;
SET LOCAL lock_timeout = '10s';
ALTER TABLE orders RENAME TO orders_before;
ALTER TABLE orders_before DROP CONSTRAINT orders_pkey;
DROP INDEX ix_orders_created_at;
CREATE TABLE orders (
    LIKE orders_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    CONSTRAINT orders_pkey PRIMARY KEY (order_id),
    CONSTRAINT orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users,
    CONSTRAINT orders_product_id_fkey FOREIGN KEY (product_id) REFERENCES products
) PARTITION BY HASH (order_id);
CREATE INDEX ix_orders_created_at ON orders (created_at);
DO $$
BEGIN
    FOR part IN 0 .. 7 LOOP
        EXECUTE format('CREATE TABLE orders_p%s PARTITION OF orders FOR VALUES WITH (MODULUS 8, REMAINDER %s)', part, part);
    END LOOP;
END $$;
INSERT INTO orders SELECT * FROM orders_before;
DROP TABLE orders_before;
COMMIT;
