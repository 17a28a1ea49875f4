"""PostgreSQL: models, schema, sessions and CRUD."""
