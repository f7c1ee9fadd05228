"""The tests, the benchmarks, and the harness that they share."""
