"""What ``python -m bench`` can measure: one module per suite."""
