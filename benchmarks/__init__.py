"""Benchmarks: each gives a figure, the floor measured in the same run, and the ratio."""
