"""Benchmarks: `make bench` prints ratios measured within one run."""
