-- every refund of the order desk, oldest first
SELECT r.id AS refund_id, r.order_id, r.amount::text AS amount, o.currency
FROM order_desk.refunds AS r
JOIN order_desk.orders AS o ON o.id = r.order_id
ORDER BY r.id;
