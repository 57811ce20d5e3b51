"""A linear layer with many outputs and their likelihood in one, which never stores what the layer
gives: ``functions.py`` has the public functions."""

from vaekern.last_layer.functions import *
from vaekern.last_layer.functions import __all__ as __all__
