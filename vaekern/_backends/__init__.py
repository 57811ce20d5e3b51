"""What runs an operation: the compiled kernels, Triton's, and plain torch."""
