"""The fast path of what compiled code calls."""

from __future__ import annotations

import pytest
import torch
from frames import modules_that_run

from vaekern._backends import fast

pytestmark = pytest.mark.skipif(not fast.usable, reason="no fast path with this torch or build")


def test_what_compiled_code_calls_is_no_python() -> None:
    t, g, ops = torch.randn(3, 4), torch.rand(3), torch.ops.vaekern
    value = ops.standard_kl.default, (t, t, None, 1, "logvar", "cpu")
    vjp = ops.standard_kl_vjp.default, (g, t, t, None, [True, True], 1, "logvar", "cpu")

    def is_python(op: torch._ops.OpOverload, args: tuple[object, ...]) -> bool:
        with modules_that_run() as modules:
            op(*args)
        return any([name.startswith("vaekern") for name in modules])

    with torch.no_grad():
        for op, args in (value, vjp):
            assert not is_python(op, args)
            with fast.allowed(False):
                assert is_python(op, args)
    t.requires_grad_()
    assert value[0](*value[1]).requires_grad
