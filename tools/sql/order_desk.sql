-- The order desk: a small shop's orders, for example graphs. Run as a whole, once, under the lock
-- that tools/order_desk.py takes. Every seeded value is fixed, so that examples can name them.

CREATE SCHEMA order_desk;

CREATE TABLE order_desk.customers (
    id integer PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL UNIQUE,
    street text NOT NULL,
    city text NOT NULL,
    postal_code text NOT NULL,
    country char(2) NOT NULL
);

CREATE TABLE order_desk.orders (
    id text PRIMARY KEY CHECK (id ~ '^A-[0-9]{4,}$'),
    customer_id integer NOT NULL REFERENCES order_desk.customers,
    status text NOT NULL CHECK (status IN ('placed', 'shipped', 'delivered', 'cancelled')),
    currency char(3) NOT NULL,
    total numeric(12, 2) NOT NULL DEFAULT 0 CHECK (total >= 0),
    -- the sum of the order's refunds, kept here so that the row's lock and this check guard it
    refunded numeric(12, 2) NOT NULL DEFAULT 0,
    placed_at timestamptz NOT NULL,
    street text NOT NULL,
    city text NOT NULL,
    postal_code text NOT NULL,
    country char(2) NOT NULL,
    CONSTRAINT refunds_within_total CHECK (refunded BETWEEN 0 AND total)
);

CREATE TABLE order_desk.order_lines (
    order_id text NOT NULL REFERENCES order_desk.orders,
    position integer NOT NULL CHECK (position > 0),
    sku text NOT NULL,
    description text NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    unit_price numeric(12, 2) NOT NULL CHECK (unit_price >= 0),
    PRIMARY KEY (order_id, position)
);

CREATE TABLE order_desk.refunds (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id text NOT NULL REFERENCES order_desk.orders,
    amount numeric(12, 2) NOT NULL CHECK (amount > 0),
    reason text NOT NULL,
    refunded_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX ON order_desk.refunds (order_id);

INSERT INTO order_desk.customers (id, name, email, street, city, postal_code, country)
VALUES
    (1, 'Ada Lovelace', 'ada@example.com', '12 St James''s Square', 'London', 'SW1Y 4JH', 'GB'),
    (2, 'Bob Fischer', 'bob@example.com', 'Lindenweg 4', 'Bremen', '28195', 'DE'),
    (3, 'Chiara Conti', 'chiara@example.com', 'Via Garibaldi 21', 'Torino', '10122', 'IT'),
    (4, 'Dilip Rao', 'dilip@example.com', '45 Residency Road', 'Bengaluru', '560025', 'IN'),
    (5, 'Elena Petrova', 'elena@example.com', 'ul. Shipka 8', 'Sofia', '1504', 'BG'),
    (6, 'Farid Haddad', 'farid@example.com', '3 rue des Lilas', 'Lyon', '69003', 'FR'),
    (7, 'Grace Okafor', 'grace@example.com', '77 O''Connell Street', 'Dublin', 'D01 K7X2', 'IE'),
    (8, 'Hana Suzuki', 'hana@example.com', 'Keizersgracht 100', 'Amsterdam', '1015 CV', 'NL');

INSERT INTO order_desk.orders (
    id, customer_id, status, currency, placed_at, street, city, postal_code, country
)
SELECT
    seed.id, seed.customer_id, seed.status, seed.currency, seed.placed_at::timestamptz,
    customer.street, customer.city, customer.postal_code, customer.country
FROM (
    VALUES
        ('A-1001', 1, 'delivered', 'EUR', '2025-03-03 09:12:00+00'),
        ('A-1002', 2, 'delivered', 'EUR', '2025-03-04 17:40:00+00'),
        ('A-1003', 3, 'placed', 'EUR', '2025-03-18 08:05:00+00'),
        ('A-1004', 4, 'shipped', 'INR', '2025-03-15 12:30:00+00'),
        ('A-1005', 5, 'cancelled', 'EUR', '2025-03-05 10:00:00+00'),
        ('A-1006', 6, 'delivered', 'EUR', '2025-03-06 14:21:00+00'),
        ('A-1007', 7, 'placed', 'EUR', '2025-03-18 19:55:00+00'),
        ('A-1008', 8, 'shipped', 'EUR', '2025-03-16 07:48:00+00'),
        ('A-1009', 1, 'delivered', 'EUR', '2025-03-07 11:11:00+00'),
        ('A-1010', 4, 'delivered', 'INR', '2025-03-08 06:32:00+00'),
        ('A-1011', 2, 'placed', 'EUR', '2025-03-19 13:00:00+00'),
        ('A-1012', 3, 'delivered', 'EUR', '2025-03-09 15:45:00+00'),
        ('A-1013', 5, 'shipped', 'EUR', '2025-03-16 20:20:00+00'),
        ('A-1014', 6, 'placed', 'EUR', '2025-03-19 21:30:00+00'),
        ('A-1015', 7, 'delivered', 'EUR', '2025-03-10 09:09:00+00'),
        ('A-1016', 8, 'cancelled', 'EUR', '2025-03-11 16:00:00+00'),
        ('A-1017', 4, 'placed', 'INR', '2025-03-20 04:15:00+00'),
        ('A-1018', 1, 'shipped', 'EUR', '2025-03-17 18:02:00+00'),
        ('A-1019', 2, 'delivered', 'EUR', '2025-03-12 08:37:00+00'),
        ('A-1020', 3, 'placed', 'EUR', '2025-03-20 10:50:00+00')
) AS seed (id, customer_id, status, currency, placed_at)
JOIN order_desk.customers AS customer ON customer.id = seed.customer_id;

INSERT INTO order_desk.order_lines (
    order_id, position, sku, description, quantity, unit_price
)
VALUES
    ('A-1001', 1, 'LAMP-02', 'desk lamp, brass', 2, 75.00),
    ('A-1001', 2, 'BULB-07', 'light bulb, warm white', 6, 5.00),
    ('A-1002', 1, 'MUG-11', 'mug, blue', 2, 9.95),
    ('A-1002', 2, 'SHIP-STD', 'standard shipping', 1, 5.00),
    ('A-1003', 1, 'BOOK-31', 'atlas of the alps', 1, 64.00),
    ('A-1004', 1, 'TEA-05', 'assam tea, 1 kg', 3, 850.00),
    ('A-1005', 1, 'RUG-01', 'rug, wool, 160 x 230 cm', 1, 420.00),
    ('A-1006', 1, 'PEN-09', 'fountain pen', 1, 129.00),
    ('A-1006', 2, 'INK-03', 'ink, black, 50 ml', 2, 8.50),
    ('A-1007', 1, 'CHAIR-04', 'office chair', 2, 349.00),
    ('A-1008', 1, 'VASE-06', 'vase, glass', 1, 38.50),
    ('A-1009', 1, 'CLOCK-02', 'wall clock', 1, 89.90),
    ('A-1010', 1, 'SHAWL-08', 'cotton shawl', 4, 1200.00),
    ('A-1011', 1, 'MUG-11', 'mug, blue', 4, 9.95),
    ('A-1012', 1, 'COFFEE-01', 'espresso machine', 1, 1249.00),
    ('A-1013', 1, 'BLANKET-03', 'blanket, lambswool', 1, 79.00),
    ('A-1014', 1, 'LAMP-02', 'desk lamp, brass', 1, 75.00),
    ('A-1015', 1, 'BAG-12', 'messenger bag', 1, 145.00),
    ('A-1015', 2, 'STRAP-01', 'shoulder strap', 1, 19.99),
    ('A-1016', 1, 'VASE-06', 'vase, glass', 2, 38.50),
    ('A-1017', 1, 'TEA-05', 'assam tea, 1 kg', 1, 850.00),
    ('A-1018', 1, 'BOOK-31', 'atlas of the alps', 1, 64.00),
    ('A-1019', 1, 'PAN-10', 'frying pan, iron', 1, 59.95),
    ('A-1020', 1, 'TABLE-02', 'dining table, oak', 1, 980.00);

UPDATE order_desk.orders
SET total = (
    SELECT sum(line.quantity * line.unit_price)
    FROM order_desk.order_lines AS line
    WHERE line.order_id = orders.id
);

-- the orders that were cancelled before the story begins have had their money back
INSERT INTO order_desk.refunds (order_id, amount, reason, refunded_at)
SELECT id, total, 'cancelled by the customer', placed_at + interval '1 day'
FROM order_desk.orders
WHERE status = 'cancelled'
ORDER BY id;

UPDATE order_desk.orders SET refunded = total WHERE status = 'cancelled';
