"""Formats and places of the survey and of HST: files in, plain values out."""
