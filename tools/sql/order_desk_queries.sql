-- name: lock_setup: one process at a time sets up; the number is ours alone
SELECT pg_advisory_xact_lock(4107300158142101);

-- name: is_set_up: whether the schema is there
SELECT to_regnamespace('order_desk') IS NOT NULL;

-- name: drop: forget everything
DROP SCHEMA IF EXISTS order_desk CASCADE;

-- name: find: one order with its customer and lines, money as text
SELECT
    o.id AS order_id,
    o.status,
    o.currency,
    o.total::text AS total,
    o.refunded::text AS refunded,
    (o.total - o.refunded)::text AS refundable,
    to_char(o.placed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS placed_at,
    json_build_object('name', c.name, 'email', c.email) AS customer,
    json_build_object(
        'street', o.street, 'city', o.city, 'postal_code', o.postal_code, 'country', o.country
    ) AS address,
    (
        SELECT json_agg(
            json_build_object(
                'sku', l.sku,
                'description', l.description,
                'quantity', l.quantity,
                'unit_price', l.unit_price::text
            )
            ORDER BY l.position
        )
        FROM order_desk.order_lines AS l
        WHERE l.order_id = o.id
    ) AS lines
FROM order_desk.orders AS o
JOIN order_desk.customers AS c ON c.id = o.customer_id
WHERE o.id = %(order_id)s;

-- name: refund: record a refund if it fits; the update locks the row, so two at once take turns
WITH refunded_order AS (
    UPDATE order_desk.orders
    SET refunded = refunded + %(amount)s
    WHERE id = %(order_id)s AND status <> 'cancelled' AND refunded + %(amount)s <= total
    RETURNING *
),
refund AS (
    INSERT INTO order_desk.refunds (order_id, amount, reason)
    SELECT id, %(amount)s, %(reason)s FROM refunded_order
    RETURNING id, amount
)
SELECT
    o.id AS order_id,
    refund.id AS refund_id,
    refund.amount::text AS amount,
    o.currency,
    o.refunded::text AS refunded,
    (o.total - o.refunded)::text AS refundable
FROM refunded_order AS o
CROSS JOIN refund;

-- name: lock: take the row's lock and say what is left of the order's money
SELECT status, total - refunded AS refundable, currency
FROM order_desk.orders
WHERE id = %(order_id)s
FOR UPDATE;

-- name: cancel: cancel an order that is placed and record what is left of it as a refund
WITH cancelled AS (
    UPDATE order_desk.orders
    SET status = 'cancelled', refunded = total
    WHERE id = %(order_id)s AND status = 'placed'
    RETURNING id, status, currency, total, refunded
),
refund AS (
    INSERT INTO order_desk.refunds (order_id, amount, reason)
    SELECT id, %(refundable)s, %(reason)s FROM cancelled WHERE %(refundable)s > 0
    RETURNING amount
)
SELECT
    id AS order_id,
    status,
    currency,
    refunded::text AS refunded,
    coalesce((SELECT amount::text FROM refund), '0.00') AS amount
FROM cancelled;

-- name: change_address: send an order that is placed somewhere else
UPDATE order_desk.orders
SET street = %(street)s, city = %(city)s, postal_code = %(postal_code)s, country = %(country)s
WHERE id = %(order_id)s AND status = 'placed'
RETURNING
    id AS order_id,
    status,
    json_build_object(
        'street', street, 'city', city, 'postal_code', postal_code, 'country', country
    ) AS address;
