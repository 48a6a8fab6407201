"""Files, and nothing else: banks, tables, run records, and the names they have."""
