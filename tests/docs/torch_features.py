"""What of torch works with vaekern, and the tests that show it: the table of
docs/torch_features.md, which ``pytest tests/docs --write-pages`` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "torch_features.md"

_INTEGRATION, _GRADIENTS = "test_torch_integration.py", "test_gradients.py"
_HERE, _RANKS = "test_torch_features.py", "test_distributed.py"
_LAYER, _WATCHERS = "test_linear_in_torch.py", "test_watchers.py"
_MODEL, _MODELS = "test_model_in_torch.py", "test_model_ranks.py"


@dataclass(frozen=True)
class Feature:
    name: str
    what: str
    tests: tuple[str, ...]


FEATURES = (
    Feature(
        "`torch.compile`",
        "`fullgraph=True`; the numbers, gradients and noise of eager code. An explicit `generator` "
        "breaks the graph, as everywhere in torch; `seed` does not",
        (f"{_INTEGRATION}::test_compiled_is_eager",
         f"{_INTEGRATION}::test_compiled_noise_is_that_of_eager"),
    ),
    Feature(
        "dynamic shapes",
        "one graph for any size",
        (f"{_INTEGRATION}::test_compiled_for_any_size_is_eager",
         f"{_LAYER}::test_compiled_for_any_size_is_eager"),
    ),
    Feature(
        "recompilation",
        "none when `beta`, a 0-d tensor, changes",
        (f"{_HERE}::test_one_graph_for_every_beta",),
    ),
    Feature(
        "backends under `torch.compile`",
        "a graph keeps the backend that it was compiled for",
        (f"{_INTEGRATION}::test_compiled_code_keeps_to_its_backend",),
    ),
    Feature(
        "`torch.export`",
        "any batch size; saved and loaded, of `vk.VAE` too. Pass the seed as an input",
        (f"{_HERE}::test_exported_for_any_batch_saved_and_loaded",
         f"{_MODEL}::test_a_model_is_exported", f"{_MODEL}::test_an_exported_model_is_saved"),
    ),
    Feature(
        "`torch.jit.trace`, `make_fx`, `torch.fx`",
        "graphs hold the registered op, `torch.fx.symbolic_trace` functions called as `vk.name`; "
        "functions are not scripted, `torch.ops.vaekern` is",
        (f"{_WATCHERS}::test_watched", f"{_WATCHERS}::test_backward_watched",
         f"{_WATCHERS}::test_symbolically_traced", f"{_WATCHERS}::test_scripted"),
    ),
    Feature(
        "modes, profilers and counters",
        "`__torch_function__`, `__torch_dispatch__`, `torch.device` as a context, "
        "`torch.profiler` and `FlopCounterMode` see the registered op",
        (f"{_WATCHERS}::test_watched",),
    ),
    Feature(
        "AOTInductor",
        "packaged and loaded, on a CPU, where vaekern is imported",
        (f"{_HERE}::test_compiled_ahead_of_time",),
    ),
    Feature(
        "`torch.library.opcheck`",
        "schemas, fake kernels and autograd registrations",
        (f"{_INTEGRATION}::test_opcheck", f"{_INTEGRATION}::test_opcheck_of_vjp",
         f"{_LAYER}::test_opcheck"),
    ),
    Feature(
        "`torch.func`",
        "`grad`, `vjp`, `jvp`, `jacrev`, `jacfwd`, `hessian`, `vmap` and their compositions, "
        "per-sample gradients for example",
        (f"{_GRADIENTS}::test_transforms_agree_with_the_reference",
         f"{_GRADIENTS}::test_vmap_agrees_with_a_loop",
         f"{_GRADIENTS}::test_per_sample_gradients"),
    ),
    Feature(
        "`torch.func` and models",
        "`grad` and `vmap` of every objective, over ensembles for example; a model's output comes "
        "out of `vmap`. `decomposed_kl` and DReG have no forward mode",
        (f"{_MODEL}::test_torch_func_is_autograd",
         f"{_MODEL}::test_vmap_over_an_ensemble_s_gradients",
         f"{_MODEL}::test_an_output_comes_out_of_vmap"),
    ),
    Feature(
        "pytrees",
        "`VAEOutput` and posteriors are taken apart and put together as tuples are",
        (f"{_MODEL}::test_an_output_is_taken_apart_and_put_together",
         f"{_MODEL}::test_subclasses_of_posteriors_are_taken_apart_too"),
    ),
    Feature(
        "ONNX",
        "`reconstruct`, `encode` and `decode`; losses on the reference backend, with `eps` as an "
        "input",
        ("test_onnx.py::test_what_onnx_can_translate", "test_onnx.py::test_onnx"),
    ),
    Feature(
        "`vmap` and noise",
        "`randomness=` decides, as for `torch.randn`",
        (f"{_GRADIENTS}::test_vmap_draws_noise_as_it_is_told",),
    ),
    Feature(
        "`torch.func` under `torch.compile`",
        "right, or an error",
        (f"{_INTEGRATION}::test_compiled_torch_func_is_right_or_raises",),
    ),
    Feature(
        "forward mode (`forward_ad`)",
        "dual numbers; also of gradients, forward over reverse",
        (f"{_GRADIENTS}::test_dual_numbers", f"{_GRADIENTS}::test_vectorized_derivatives"),
    ),
    Feature(
        "many gradients at once",
        "`is_grads_batched=True`; `torch.autograd.functional.jacobian` and `hessian` with "
        "`vectorize=True`",
        (f"{_GRADIENTS}::test_vectorized_derivatives",
         f"{_GRADIENTS}::test_many_gradients_of_a_loss"),
    ),
    Feature("double backward", "", (f"{_GRADIENTS}::test_gradgradcheck",)),
    Feature(
        "`retain_graph=True`",
        "a backward may run twice",
        (f"{_GRADIENTS}::test_a_backward_may_run_twice",),
    ),
    Feature(
        "`no_grad`, `inference_mode`",
        "nothing is saved",
        (f"{_GRADIENTS}::test_no_gradient_unless_asked_for",),
    ),
    Feature(
        "`torch.autocast`",
        "half-precision outputs of networks are read as they are, losses are float32 (on a CPU; "
        "CUDA's has not been run)",
        (f"{_HERE}::test_losses_under_autocast_are_float32",
         f"{_LAYER}::test_autocast_is_that_of_a_linear_layer"),
    ),
    Feature(
        "loss scaling in float16",
        "gradients do not underflow before the scale reaches them",
        ("test_elbo.py::test_float16_gradients_do_not_underflow_before_the_loss_scale",),
    ),
    Feature(
        "fake and meta tensors",
        "shapes and dtypes without data",
        (f"{_INTEGRATION}::test_shapes_without_data", f"{_INTEGRATION}::test_noise_without_data"),
    ),
    Feature(
        "activation checkpointing",
        "the recomputation sees the same noise",
        (f"{_GRADIENTS}::test_checkpointing_recomputes_the_same_noise",),
    ),
    Feature(
        "`saved_tensors_hooks`",
        "what is saved for the backward may be kept elsewhere",
        (f"{_HERE}::test_saved_tensors_may_be_kept_elsewhere",),
    ),
    Feature(
        "`DataLoader` workers",
        "after a fork, on one thread",
        ("test_binary.py::test_dataloader_workers",),
    ),
    Feature(
        "`pickle`, `state_dict`, `deepcopy`",
        "models are plain modules; drop-ins are pickled under their patches, too",
        (f"{_HERE}::test_models_are_pickled", "test_vae.py::test_it_is_a_plain_module",
         f"{_MODEL}::test_copies_of_models", "dropins/test_pickling.py::"
         "test_under_the_patch_of_diffusers"),
    ),
    Feature(
        "subclasses of `Tensor`",
        "results are of the subclass; one with a `__torch_function__` is asked",
        (f"{_HERE}::test_subclasses_stay_what_they_are", f"{_WATCHERS}::test_watched"),
    ),
    Feature(
        "sparse and nested tensors",
        "refused",
        (f"{_HERE}::test_sparse_and_nested_tensors_are_refused",),
    ),
    Feature(
        "`DistributedDataParallel`",
        "gradients of the joined batch, with `static_graph=True` too; noise of each rank's own, "
        "also from generators in the same state. Only what goes through `forward` is averaged: "
        "wrap a module whose forward is the bound",
        (f"{_RANKS}::test_gradients_are_those_of_the_joined_batch",
         f"{_RANKS}::test_noise_is_each_rank_s_own_and_repeats",
         f"{_MODELS}::test_a_static_graph_averages_gradients",
         f"{_MODELS}::test_a_bound_has_the_gradients_of_the_joined_batch"),
    ),
    Feature(
        "FSDP2 (`fully_shard`)",
        "modules hand plain tensors to the functions. It takes no scalar parameters: give a "
        "learned variance a dimension for each of the data's, for vectors "
        "`vk.GaussianLikelihood(torch.zeros(1), learned=True)`. Methods beside `forward` are to be "
        "registered: `register_fsdp_forward_method(model, \"elbo\")`",
        (f"{_RANKS}::test_gradients_are_those_of_the_joined_batch",
         f"{_MODELS}::test_methods_of_a_sharded_model"),
    ),
    Feature(
        "`DTensor` arguments",
        "refused; `to_local()` gives a rank's part",
        (f"{_RANKS}::test_tensors_spread_over_ranks_are_refused",),
    ),
)  # fmt: skip

_HEAD = """# What works with torch

Each row is shown by the tests it names (in `tests/`); a test fails where this page and they differ.
`pytest tests/docs --write-pages` writes it.

| Feature | | Shown by |
| --- | --- | --- |
"""


def named_tests() -> list[str]:
    return [test for feature in FEATURES for test in feature.tests]


def page() -> str:
    rows = [
        f"| {f.name} | {f.what} | {', '.join(f'`{test}`' for test in f.tests)} |" for f in FEATURES
    ]
    return _HEAD + "\n".join(rows) + "\n"
