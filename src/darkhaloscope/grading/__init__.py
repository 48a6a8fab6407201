"""Grading by eye: what is shown, in which order, how it looks, and where grades are kept."""
