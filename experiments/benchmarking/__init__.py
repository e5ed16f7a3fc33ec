"""The parts of `benchmark.py`: who competes, how turns are timed, and how it is reported."""
