"""Benchmark suites in pytest: what tests cost beside how long they take. Loaded only when a suite asks for it."""
