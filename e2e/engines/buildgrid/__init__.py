"""BuildGrid, on PostgreSQL."""
