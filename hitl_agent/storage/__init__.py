"""PostgreSQL: connections, schema, and one module for each kind of row."""
