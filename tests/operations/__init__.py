"""The operations, as tests and benchmarks know them: one file per operation in ``rows``, and what
is made of all of them in ``every.py``."""
