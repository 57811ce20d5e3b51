"""What is measured: computations, the sizes of workloads, and who computes them."""
