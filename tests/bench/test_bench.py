"""Every command of the benchmarks runs, at toy sizes, and what they count and compare is right.
Nothing here looks at a time."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vaekern._backends import native
from vaekern._ops.table import OPS as TABLE
from vaekern._ops.table import SOFTMAXES

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0  # seconds

if not (ROOT / "bench").exists():
    pytest.skip("bench/ is not here", allow_module_level=True)
if native.core is None:
    pytest.skip(native.why_missing, allow_module_level=True)


def command(module: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run from the repository root, as its README says."""
    return subprocess.run(
        [sys.executable, "-m", module, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


FEW = ("--rounds=5", "--seconds=0.1", "--threads", "1")
PEERS = ("--peers", "eager", "functional", "distributions", "diffusers", "--dtypes", "fp32", "bf16")
SUITES = {
    "steps": ("--workloads", "W1", *PEERS, *FEW),
    "kernels": ("--ops", "standard_kl", "--shape", "3", "5", *FEW),
    "memory": ("--workloads", "W1", *PEERS, "--backends", "best", "reference"),
    "sweep": ("--exponents", "4", *PEERS, *FEW),
    "train": ("--models", "mlp", "--candidates", "eager", "vaekern", "--batch-size=2", *FEW),
    "last_layer": ("--shape", "4", "3", "70", "--candidates", "eager", "per-datapoint", *FEW),
    "distributions": ("--families", "Normal", "Bernoulli", "Poisson", "Multinomial", *FEW),
    "overhead": ("--calls", "elbo_loss", "reparameterize", "image_nll", *FEW),
}


#: torch's own formula of the continuous Bernoulli loses the digits of bfloat16 near logits of 0;
#: in a few elements' gradient of a shared scale, those of the asymmetric Laplace may cancel. A
#: relaxed sample of torch's begins with uniform numbers of bfloat16, so some draws are too far off.
WRONG_PEERS = {
    ("asymmetric_laplace_log_likelihood", "bfloat16", "eager"),
    ("continuous_bernoulli_log_likelihood", "bfloat16", "eager"),
    ("continuous_bernoulli_log_likelihood", "bfloat16", "distributions"),
    ("gumbel_softmax", "bfloat16", "distributions"),
}


def wrong_providers(printed: str) -> set[tuple[str, str, str]]:
    """(operation or workload, dtype, provider) of each that was not timed because it is wrong."""
    found, heading = set(), ("", "")
    for line in printed.splitlines():
        if match := re.match(r"(\w+) (\w+): ", line):
            heading = match[1], match[2]
        elif "WRONG" in line:
            found.add((*heading, line.split(":")[0].strip()))
    return found


@pytest.mark.exhaustive
@pytest.mark.parametrize("suite", SUITES)
def test_suite(suite: str) -> None:
    run = command("bench", suite, *SUITES[suite])
    assert run.returncode == 0, run.stderr
    assert "vaekern" in run.stdout
    assert wrong_providers(run.stdout) <= WRONG_PEERS
    assert "FAILED" not in run.stdout


@pytest.mark.exhaustive
def test_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    options = ("--ops", "standard_kl", "--exponents", "4", "6", "--peers", "eager", *FEW)
    run = command("bench", "sweep", *options, "--plot", str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["speed-standard-kl-float32.png"]


# --- providers and their check --------------------------------------------------------------------


def test_every_operation_is_measured() -> None:
    from bench.problems.families import OPS
    from bench.suites.kernels import CASES

    names = {op.name for op in TABLE}
    assert set(OPS) == names | {op.name for op in SOFTMAXES}
    assert {case.op for case in CASES} - {""} == names


def test_every_kernel_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.suites import kernels

    monkeypatch.setattr(kernels, "uncached_sets", lambda _: 1)
    buffers = kernels._Buffers(torch.Size((3, 5)))
    for case in kernels.CASES:
        case.make(buffers)()


def _scaled(form, factor: float):
    def wrong(*inputs: Tensor) -> tuple[Tensor, ...]:
        results = form(*inputs)
        results = results if isinstance(results, tuple) else (results,)
        return tuple(result * factor for result in results)

    return wrong


@pytest.mark.parametrize("family", [op.name for op in TABLE] + ["bernoulli_elbo", "gaussian_elbo"])
def test_a_wrong_provider_is_not_timed(family: str) -> None:
    from bench.harness.measure import check
    from bench.problems.forms import eager
    from bench.problems.providers import Provider
    from bench.problems.workloads import Workload

    form = eager.FORMS[family]
    providers = [
        Provider("right", "", {family: form}),
        Provider("wrong", "", {family: _scaled(form, 1.001)}),
        Provider("absent", "", {}),
    ]
    shape = (64, 64)
    checked = check(Workload(family, "", family, shape, shape), torch.float32, providers)
    assert list(checked.forms) == ["right"]
    assert "is off by" in checked.excluded["wrong"]


def test_repeating_noise_is_wrong() -> None:
    from bench.harness.measure import check
    from bench.problems.forms import vaekern
    from bench.problems.providers import Provider
    from bench.problems.workloads import op_workload

    def seeded(mu: Tensor, logvar: Tensor) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return vaekern.FORMS["reparameterize"](mu, logvar)

    workload = op_workload("reparameterize", 4096)
    checked = check(workload, torch.float32, [Provider("seeded", "", {"reparameterize": seeded})])
    assert "noise repeats" in checked.excluded["seeded"]


def test_graph_and_stream_checks_find_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.gpu import checks
    from bench.gpu.machine import stand_in

    assert checks.graph_fault(stand_in(), "best") is None
    assert checks.graph_fault(stand_in(), "best", warm=False) is None
    assert checks.streams_fault(stand_in(), "best") is None
    assert checks.other_device_fault(stand_in(), "best") is None

    # A replay that runs nothing keeps its noise; one that forgets the backward has old gradients.
    def frozen(step, warm):
        results = step()
        return lambda: results

    monkeypatch.setattr(checks, "_called_again", frozen)
    assert "noise repeats" in checks.graph_fault(stand_in(), "best")

    def refused(step, warm):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(checks, "_called_again", refused)
    assert "the capture fails" in checks.graph_fault(stand_in(), "best", warm=False)

    seeds = iter(range(1000))
    outcome = checks._outcome
    monkeypatch.setattr(checks, "_outcome", lambda problem, _: outcome(problem, next(seeds)))
    assert "differ" in checks.streams_fault(stand_in(), "best")


# --- memory ---------------------------------------------------------------------------------------


def test_peak_memory_counts_results_and_gradients() -> None:
    """Large ones, too, which vaekern takes from a pool of its own."""
    from bench.problems.providers import on_backend
    from bench.problems.workloads import Workload
    from bench.suites import memory

    shape = (1024, 1024)
    workload = Workload("", "", "reparameterize", latent=shape)
    form = on_backend("best").form("reparameterize")
    assert form is not None
    measured = memory.of_step(workload.make(torch.float32), form)
    mib = measured.peak_extra / 2**20
    assert 12.0 <= mib < 12.1  # z and two gradients
    assert measured.saved < 1024  # the seed; the inputs do not count


def test_bytes_that_must_move() -> None:
    from bench.problems.workloads import WORKLOADS, op_workload

    w1 = WORKLOADS["W1"]
    assert w1.bytes_to_move(torch.float32) == 4 * (3 * 128 * 784 + 8 * 128 * 20)
    assert w1.bytes_to_move(torch.float32, "forward") is None
    assert WORKLOADS["W5"].bytes_to_move(torch.bfloat16) == 2 * 14 * 16384 * 1024
    kl = op_workload("standard_kl", 2**16)
    assert [kl.bytes_to_move(torch.float32, p) for p in ("forward", "backward", "both")] == [
        4 * n * 2**16 for n in (2, 4, 6)
    ]
    assert w1.times_batch(16).data == (2048, 784)


def test_batches_shrink_to_fit_the_memory() -> None:
    import dataclasses

    from bench.gpu.machine import imagined
    from bench.gpu.sizes import larger
    from bench.problems.workloads import WORKLOADS

    w5, machine = WORKLOADS["W5"], imagined()
    assert larger(w5, 16, machine, torch.float32).latent[0] == 16 * 16384
    small = dataclasses.replace(machine, memory_bytes=24 * 2**30)
    assert larger(w5, 16, small, torch.float32).name == "W5 x4"
    assert larger(w5, 16, small, torch.bfloat16).name == "W5 x8"


# --- files ----------------------------------------------------------------------------------------


def _row(**columns: str) -> dict[str, str]:
    return {"date": "2026-01-01T00:00Z", "commit": "aaa", "workload": "W1", **columns}


def test_rows_with_new_columns_join_old_ones(tmp_path: Path) -> None:
    from bench.harness.report import append_csv

    path = tmp_path / "folder" / "results.csv"
    append_csv(path, [_row(median_ms="1")])
    append_csv(path, [_row(part="forward", median_ms="2", gb_per_s="3")])
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first == _row(part="", median_ms="1", gb_per_s="")
    assert second == _row(part="forward", median_ms="2", gb_per_s="3")


def test_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bench.harness.report import append_csv
    from bench.suites import compare

    path = tmp_path / "results.csv"

    def rows(commit: str, *bands: tuple[str, str, str]) -> list[dict[str, str]]:
        return [
            _row(commit=commit, provider=f"p{k}", median_ms=median, p20_ms=p20, p80_ms=p80)
            for k, (p20, median, p80) in enumerate(bands)
        ]

    after = (("4", "5", "6"), ("0.1", "0.2", "0.3"), ("2.5", "3", "4"), ("0.5", "1", "2"))
    append_csv(path, rows("aaa", *[("1", "2", "3") for _ in after]))
    append_csv(path, rows("bbb", *after))
    compare.run("aaa", "bbb", [path])
    lines = capsys.readouterr().out.splitlines()
    verdicts = [line.split()[-1] for line in lines if line.startswith("  p")]
    assert verdicts == ["slower", "faster", "~", "~"]
    with pytest.raises(SystemExit, match="neither"):
        compare.run("aaa", "ccc", [path])


def test_the_mlp_is_that_of_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("matplotlib", "sklearn", "tqdm"):
        pytest.importorskip(package, reason="the example's packages")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import train_mnist

    from bench.problems.models import MODELS

    model = MODELS["mlp"]
    options = ["train_mnist.py"]
    monkeypatch.setattr(sys, "argv", options)
    parsed = train_mnist.parse_options()
    example = train_mnist.build_model(parsed, torch.zeros(2, *model.image, dtype=torch.uint8))
    ours = [p.shape for p in model.make().parameters()]
    assert ours == [p.shape for p in example.parameters()]
    assert model.batch_size == parsed.batch_size
