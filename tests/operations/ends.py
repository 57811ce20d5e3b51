"""Where float32 ends."""

import math

import torch

INF, NAN = math.inf, math.nan
TINY, MAX = 1e-45, torch.finfo(torch.float32).max
