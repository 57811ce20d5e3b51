"""The mathematics of ``csrc/core`` and ``csrc/math`` as Triton functions on blocks: the same names,
the same steps in the same order. ``ops.py`` lists the operations."""
