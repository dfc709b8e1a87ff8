"""Measurements; `python -m bench.mls` prints how far `mls` is from the primitives that it must perform."""
