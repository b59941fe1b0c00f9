"""A PostgreSQL server that this program starts for itself (extra `embedded`)."""
