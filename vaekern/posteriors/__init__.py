"""Posteriors q(z | x) beyond independent elements."""

from vaekern.posteriors.cholesky import positive, tril_from_matrix, tril_from_packed

__all__ = ["positive", "tril_from_matrix", "tril_from_packed"]
