"""The extension's stub says what the extension has."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import vaekern
from vaekern._backends import native

if native.core is None:
    pytest.skip("no compiled extension", allow_module_level=True)

STUB = ast.parse((Path(vaekern.__file__).parent / "_core.pyi").read_text())
FUNCTIONS = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}
CLASSES = {node.name for node in STUB.body if isinstance(node, ast.ClassDef)}
VARIABLES = {
    node.target.id: node.annotation
    for node in STUB.body
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
}


def test_same_names() -> None:
    names = {name for name in vars(native.core) if not name.startswith("__")}
    assert names == FUNCTIONS.keys() | CLASSES | VARIABLES.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_signature(name: str) -> None:
    # pybind11 puts the signature on the docstring's first line: name(arg0: type, ...) -> type
    signature = getattr(native.core, name).__doc__.splitlines()[0]
    (compiled,) = ast.parse(f"def {signature}: ...").body
    assert isinstance(compiled, ast.FunctionDef)
    stub = FUNCTIONS[name].args
    assert len(stub.posonlyargs) == len(compiled.args.args)
    assert not stub.args
    assert not stub.kwonlyargs


@pytest.mark.parametrize("name", VARIABLES)
def test_same_type(name: str) -> None:
    declared = ast.unparse(VARIABLES[name]).split(" | ")  # dict[str, Any] | None
    names = {alternative.partition("[")[0] for alternative in declared}
    assert type(getattr(native.core, name)).__name__.replace("NoneType", "None") in names
