"""Judgement: arrays in, numbers with intervals and findings out. No file, clock or random state."""
