// The fast path's Python face: plans as functions.
#pragma once

#include "gradients.h"
#include "mixture.h"
#include "node.h"
#include "one_pass.h"
#include "row_gradients.h"
#include "softmax_gradients.h"
#include "stored_gradients.h"

namespace vk::exchange {

template <class Owner>
using Entry = py::object (*)(const Owner&, PyObject* const*, Py_ssize_t);

template <class Owner>
constexpr const char* name_of();
template <>
constexpr const char* name_of<Plan>() {
  return "vaekern.plan";
}
template <>
constexpr const char* name_of<RowPlan>() {
  return "vaekern.row_plan";
}
template <>
constexpr const char* name_of<MixturePlan>() {
  return "vaekern.mixture_plan";
}
template <>
constexpr const char* name_of<SoftmaxPlan>() {
  return "vaekern.softmax_plan";
}
template <>
constexpr const char* name_of<Loss>() {
  return "vaekern.loss";
}

// What goes wrong in a function is irregular, too, but for errors that Python code called from it
// raised.
template <class Function>
PyObject* irregular_or(Function function) {
  try {
    return function().release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
    return nullptr;
  } catch (const std::exception&) {
    PyErr_Clear();
    Py_RETURN_NONE;
  }
}

// A function of a plan, without pybind11's search for the types of its arguments.
template <class Owner, Entry<Owner> entry>
PyObject* call_entry(PyObject* capsule, PyObject* const* args, Py_ssize_t n) {
  const auto* owner = static_cast<const Owner*>(PyCapsule_GetPointer(capsule, name_of<Owner>()));
  if (owner == nullptr) return nullptr;
  return irregular_or([&] { return entry(*owner, args, n); });
}

inline PyObject* call_stored_gradients(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return irregular_or([&] { return stored_gradients(args, n); });
}

inline PyObject* call_node_forward(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return irregular_or([&] { return node_forward(args, n); });
}

inline PyObject* call_node_backward(PyObject* otherwise, PyObject* const* args, Py_ssize_t n) {
  return irregular_or([&] { return node_backward(otherwise, args, n); });
}

// What runs an operation, of (operation, where its function is among those of its plan, what else
// to call). Where gradients are off, as they are around what compiled code calls, nobody has to ask
// whether one is wanted.
inline PyObject* call_kernel(PyObject* known, PyObject* const* args, Py_ssize_t n,
                             PyObject* keywords) {
  PyObject* const* parts = &PyTuple_GET_ITEM(known, 0);
  return irregular_or([&] {
    const Torch& torch = Torch::instance();
    if (keywords == nullptr && torch.enabled() && !grad_enabled(torch)) {
      const py::object plan = attribute(parts[0], torch.fast);
      const py::handle quick = PyTuple_GET_ITEM(plan.ptr(), PyLong_AsSsize_t(parts[1]));
      py::object found = called(quick, args, n);
      if (!found.is_none()) return found;
    }
    return called(parts[2], args, n, keywords);
  });
}

template <class Function>
PyMethodDef definition_of(const char* name, Function* function, int flags = METH_FASTCALL) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)), flags,
          nullptr};
}

template <class Owner, Entry<Owner> entry>
PyMethodDef definition(const char* name) {
  return definition_of(name, &call_entry<Owner, entry>);
}

inline py::object function_of(const py::capsule& owner, PyMethodDef* definition) {
  return py::reinterpret_steal<py::object>(PyCFunction_New(definition, owner.ptr()));
}

template <class Owner, size_t n>
py::tuple functions_of(std::unique_ptr<Owner> owner, PyMethodDef (&definitions)[n]) {
  constexpr size_t kBackward = 3;  // of attempt, value, vjp, backward
  Owner& plan = *owner;
  const py::capsule capsule(owner.release(), name_of<Owner>(),
                            [](void* owner) { delete static_cast<Owner*>(owner); });
  py::tuple functions(n);
  for (size_t k = 0; k < n; ++k) functions[k] = function_of(capsule, &definitions[k]);
  if constexpr (n > kBackward) plan.backward = functions[kBackward];  // for ever: as operations are
  return functions;
}

// (attempt, value, vjp, backward, both, partials) of an operation. `takes` names the rules of
// inputs, then those of numbers.
inline py::tuple functions_of_plan(py::object op, py::object apply, py::tuple draw, py::object told,
                                   const std::vector<std::string>& takes, size_t n_inputs,
                                   std::vector<bool> by_datapoint, std::vector<int> vjp_inputs,
                                   bool maskable, py::object uint8_range, const py::dict& kernels) {
  auto plan = std::make_unique<Plan>();
  plan->owner = std::move(op), plan->apply = std::move(apply), plan->draw = std::move(draw);
  plan->told = std::move(told);
  for (size_t k = 0; k < takes.size(); ++k) {
    (k < n_inputs ? plan->inputs : plan->numbers).push_back(rule_named(takes[k]));
  }
  plan->by_datapoint = std::move(by_datapoint), plan->vjp_inputs = std::move(vjp_inputs);
  plan->maskable = maskable;
  plan->ranged = uint8_range.is_none();
  if (!plan->ranged && !bytes_range(uint8_range.ptr(), plan->bytes_as)) {
    throw py::value_error("no such uint8_range");
  }
  for (const auto& [scale, numbers] : kernels) {
    const auto [value, vjp, both, factor] = numbers.cast<std::tuple<int, int, int, float>>();
    plan->scales.emplace_back(py::str(scale), Kernels{value, vjp, both, factor});
  }
  static PyMethodDef definitions[] = {
      definition<Plan, attempt>("attempt"), definition<Plan, value>("value"),
      definition<Plan, vjp>("vjp"),         definition<Plan, backward>("backward"),
      definition<Plan, both>("both"),       definition<Plan, partials>("partials")};
  return functions_of(std::move(plan), definitions);
}

// (attempt, value, vjp, backward) of one of rows; `sum` is the kernel that adds rows up.
inline py::tuple functions_of_rows(py::object op, py::object apply, bool of_counts, int value_,
                                   int vjp_, int sum) {
  auto plan = std::make_unique<RowPlan>();
  plan->owner = std::move(op), plan->apply = std::move(apply), plan->of_counts = of_counts;
  plan->value = value_, plan->vjp = vjp_, plan->sum = sum;
  static PyMethodDef definitions[] = {
      definition<RowPlan, attempt>("attempt"), definition<RowPlan, value>("value"),
      definition<RowPlan, vjp>("vjp"), definition<RowPlan, backward>("backward")};
  return functions_of(std::move(plan), definitions);
}

// The same of one of mixtures.
inline py::tuple functions_of_mixture(py::object op, py::object apply, int planes) {
  auto plan = std::make_unique<MixturePlan>();
  plan->owner = std::move(op), plan->apply = std::move(apply);
  plan->planes = planes;
  static PyMethodDef definitions[] = {
      definition<MixturePlan, attempt>("attempt"), definition<MixturePlan, value>("value"),
      definition<MixturePlan, vjp>("vjp"), definition<MixturePlan, backward>("backward")};
  return functions_of(std::move(plan), definitions);
}

// The same of one over rows of logits, of a kind that softmax.h names.
inline py::tuple functions_of_softmax(py::object op, py::object apply, py::tuple draw,
                                      const std::string& kind) {
  auto plan = std::make_unique<SoftmaxPlan>();
  plan->owner = std::move(op), plan->apply = std::move(apply), plan->draw = std::move(draw);
  plan->kind = softmax_kind_named(kind);
  static PyMethodDef definitions[] = {
      definition<SoftmaxPlan, attempt>("attempt"), definition<SoftmaxPlan, value>("value"),
      definition<SoftmaxPlan, vjp>("vjp"), definition<SoftmaxPlan, backward>("backward")};
  return functions_of(std::move(plan), definitions);
}

inline const Plan* plan_of(const py::object& function) {
  const py::object capsule = function.attr("__self__");
  const auto* plan = static_cast<const Plan*>(PyCapsule_GetPointer(capsule.ptr(), name_of<Plan>()));
  if (plan == nullptr) throw py::error_already_set();
  return plan;
}

// `attempt` of a loss, of a function of each of its two plans.
inline py::object function_of_loss(py::object likelihood, py::object divergence, py::object owner,
                                   py::object apply, py::object results, py::object backward) {
  auto loss = std::make_unique<Loss>();
  loss->likelihood = plan_of(likelihood), loss->divergence = plan_of(divergence);
  loss->kept = py::make_tuple(likelihood, divergence);
  loss->owner = std::move(owner), loss->apply = std::move(apply);
  loss->results = std::move(results), loss->backward = std::move(backward);
  static PyMethodDef definitions[] = {definition<Loss, attempt_loss>("attempt")};
  return functions_of(std::move(loss), definitions)[0];
}

// Whether calls on the CPU and on GPUs may take the fast path, and what runs those on the CPU in
// its kernels' place, as if it were a GPU: None, or another module's `cuda_runners`. What it was
// before, as such arguments.
inline py::tuple allow_fast_path(bool on_cpu, bool on_gpu, py::object emulation) {
  Torch& torch = Torch::instance();
  const py::tuple before = py::make_tuple(torch.cpu.enabled, torch.gpu.enabled, torch.emulated);
  const bool known = torch.api != nullptr;
  torch.cpu.enabled = on_cpu && known;
  torch.gpu.enabled = on_gpu && known && torch.gpu.runners.run != nullptr;
  torch.emulation.enabled = !emulation.is_none() && known;
  if (!emulation.is_none()) {
    const void* runners = PyCapsule_GetPointer(emulation.ptr(), kRunners);
    if (runners == nullptr) throw py::error_already_set();
    torch.emulation.runners = *static_cast<const Runners*>(runners);
  }
  torch.emulated = std::move(emulation);
  return before;
}

// Whether torch's table of functions is one that is known here.
inline bool use_torch(py::object capsule, py::object tensor, py::object parameter,
                      py::object generator, py::tuple watchers, py::object forward_ad,
                      py::object is_grad_enabled, py::object is_neg, py::object threads_for,
                      py::object bytes, py::object keeps_graph) {
  Torch& torch = Torch::instance();
  torch.api = api_in(capsule.ptr());
  torch.tensor = reinterpret_cast<PyTypeObject*>(tensor.release().ptr());
  torch.parameter = reinterpret_cast<PyTypeObject*>(parameter.release().ptr());
  torch.generator = reinterpret_cast<PyTypeObject*>(generator.release().ptr());
  torch.watchers = std::move(watchers);
  torch.forward_ad = std::move(forward_ad);
  torch.is_grad_enabled = std::move(is_grad_enabled);
  torch.is_neg = std::move(is_neg);
  torch.threads_for = std::move(threads_for);
  torch.bytes = std::move(bytes), torch.keeps_graph = std::move(keeps_graph);
  allow_fast_path(true, true, py::none());
  return torch.cpu.enabled;
}

inline void bind(py::module_& m, const Runners& on_cpu, const Runners* on_gpu) {
  constexpr uint64_t kAll = ~uint64_t{0};
  Torch& torch = Torch::instance();
  torch.cpu = {on_cpu, py::str("cpu"), kCpuDevice, true, false, kAll};
  torch.emulation = {{}, py::str("cuda"), kCpuDevice, false, false, kAll};
  torch.gpu = {{}, py::str("cuda"), kCudaDevice, false, false, 0};
  if (on_gpu != nullptr) torch.gpu.runners = *on_gpu;
  m.def("use_torch", &use_torch);
  m.def("functions_of_plan", &functions_of_plan);
  m.def("functions_of_rows", &functions_of_rows);
  m.def("functions_of_mixture", &functions_of_mixture);
  m.def("functions_of_softmax", &functions_of_softmax);
  m.def("function_of_loss", &function_of_loss);
  static PyMethodDef stored = definition_of("stored_gradients", &call_stored_gradients);
  stored.ml_doc =
      "stored_gradients(upstream: object, saved: object, needs: object, details: object) -> object";
  m.attr("stored_gradients") = py::reinterpret_steal<py::object>(PyCFunction_New(&stored, nullptr));
  static PyMethodDef forward = definition_of("node_forward", &call_node_forward);
  forward.ml_doc = "node_forward(ctx: object, made: object, *tensors: object) -> object";
  m.attr("node_forward") = py::reinterpret_steal<py::object>(PyCFunction_New(&forward, nullptr));
  m.def("node_backward", [](py::object otherwise) {
    static PyMethodDef backward = definition_of("node_backward", &call_node_backward);
    const auto function =
        py::reinterpret_steal<py::object>(PyCFunction_New(&backward, otherwise.ptr()));
    return py::reinterpret_steal<py::object>(PyInstanceMethod_New(function.ptr()));
  });
  m.def("kernel_of", [](py::object op, int at, py::object otherwise) {
    static PyMethodDef kernel =
        definition_of("kernel", &call_kernel, METH_FASTCALL | METH_KEYWORDS);
    const py::tuple known = py::make_tuple(std::move(op), at, std::move(otherwise));
    return py::reinterpret_steal<py::object>(PyCFunction_New(&kernel, known.ptr()));
  });
  m.def("allow_fast_path", &allow_fast_path);
  m.def("use_gpu", [](int device) {
    if (device >= 0 && device < 64) Torch::instance().gpu.devices |= uint64_t{1} << device;
  });
}

}  // namespace vk::exchange
