"""What eventsync costs: speed as ratios taken in one run, and size as counts that must not grow with history.

`python -m benchmarks` measures and judges; docs/performance.md says what came out and what it depends on. Nothing here
is part of the program.
"""
