"""Everything that a machine with a GPU can say about the library: ``python -m bench.gpu``."""
