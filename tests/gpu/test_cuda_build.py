"""How the CUDA kernels were compiled. None of this needs a GPU."""

from __future__ import annotations

import re
from pathlib import Path

import cuda_resources
import pytest
from cuda_resources import Usages

from vaekern._backends import native
from vaekern._ops.table import SOFTMAXES

if native.core is None or native.cuda is None:
    pytest.skip("this build has no CUDA kernels", allow_module_level=True)


@pytest.fixture(scope="module")
def measured() -> Usages:
    tool = cuda_resources.tool()
    if tool is None:
        pytest.skip("needs cuobjdump, of the CUDA toolkit or of triton")
    usages = cuda_resources.measure(tool, Path(native.core.__file__))
    if not usages:
        pytest.skip(f"compiled for none of {cuda_resources.ARCHITECTURES}")
    return usages


def test_numbers_of_kernels_are_those_of_the_cpu() -> None:
    def run(number: int) -> None:
        native.core.run_cuda(number, 1.0, False, [1], 1, (), (), 0, 0, lambda _: 0)

    for (op, _, variant), (number, _) in native.KERNELS.items():
        with pytest.raises(ValueError, match=rf"{op}\.{variant} takes"):
            run(number)
    with pytest.raises(ValueError, match="no such kernel"):
        run(len(native.core.kernels()))


def test_every_kernel_is_compiled(measured: Usages) -> None:
    names = {kernel for kernel, _ in measured}
    others = {"combine_kernel", "scale_kernel"}
    for element in ("float", "double"):
        others |= {f"mixture_{what}_kernel RgbLogistic {element}" for what in ("value", "vjp")}
        others |= {f"{op.name}{vjp}_kernel {element}" for op in SOFTMAXES for vjp in ("", "_vjp")}
    dense = {name for name in names if name.split()[-3:-2] in (["float32"], ["bfloat16"])}
    assert others < names
    kernels = [kernel[:3] for kernel in native.core.kernels()]
    with_both = {(op, scale) for op, scale, variant in kernels if variant == "value_and_vjp"}
    in_double = [  # where there is one for value and vjp, it serves for either
        (op, scale, variant)
        for op, scale, variant in kernels
        if (op, scale) not in with_both or variant == "value_and_vjp"
    ]
    assert len(names - dense) == len(kernels) + len(in_double) + len(others)


def test_every_form_is_compiled_in_both_dtypes(measured: Usages) -> None:
    names = {kernel for kernel, _ in measured}
    single = {name for name in names if " float32 " in name}
    assert single
    assert {name.replace(" float32 ", " bfloat16 ") for name in single} <= names


#: double is for checking, and these compute most: value and gradients of the negative binomial.
MAY_SPILL = {
    "tile_kernel ValueAndVjpOf NegativeBinomial double",
    "tile_kernel ValueAndVjpOf ZeroInflatedNegativeBinomial double",
}


#: Bytes that a kernel for any launch may spill where it has the 64 registers with which two of its
#: blocks run at a time: to have more of them would halve the threads.
A_LITTLE = 16


def test_nothing_spills(measured: Usages) -> None:
    spilling = {key: usage for key, usage in measured.items() if usage.stack}
    much = {
        key: usage
        for key, usage in spilling.items()
        if key[0] not in MAY_SPILL and (usage.registers != 64 or usage.stack > A_LITTLE)
    }
    assert much == {}


def test_what_training_launches_spills_nothing(measured: Usages) -> None:
    forms = {key: usage for key, usage in measured.items() if re.search("float32|bfloat16", key[0])}
    assert forms
    assert {key: usage for key, usage in forms.items() if usage.stack} == {}


def test_kernels_take_no_more_than_the_table_says(measured: Usages) -> None:
    table = cuda_resources.read(native.cuda["version"])
    if not table:
        pytest.skip("the table is of another CUDA version")
    grown = {
        key: (usage, table.get(key))
        for key, usage in measured.items()
        if key not in table
        or usage.registers > table[key].registers
        or usage.shared > table[key].shared
    }
    assert grown == {}, "as intended? python tests/gpu/cuda_resources.py rewrites the table"
