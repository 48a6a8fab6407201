"""Physics: arrays in, arrays out. No file, clock, logger or global random state."""
