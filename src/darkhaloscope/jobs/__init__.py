"""Loops over parts: read, call the pure functions, write. No physics."""
