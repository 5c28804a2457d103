#pragma once
// LibTorch: tensors of the host or a CUDA device as views, grids as tensors, without a copy; losses with gradients as
// nodes of autograd. It needs LibTorch, so no other header and no test of the library includes it. torch_cuda.hpp has
// the policy for CUDA tensors.

#include <cambium/core/error.hpp>
#include <cambium/core/memory.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// Describe a tensor's type, shape and device for messages: "float [2,3,8,8] on cpu".
inline std::string described(at::Tensor const& tensor)
{
  if (!tensor.defined()) return "undefined";
  std::ostringstream text;
  text << c10::toString(tensor.scalar_type()) << " [";
  for (std::int64_t r = 0; r < tensor.dim(); ++r) text << (r ? "," : "") << tensor.size(r);
  text << "] on " << tensor.device();
  return text.str();
}

/// View the cells of a tensor. Nothing is copied or owned: the tensor must outlive the view.
///
///   auto const scores = tensor_view<float const, 3>(output[0].detach(), "scores");   // keep the tensor, too
///
/// A view of const cells reads any tensor, also one that autograd tracks. A writing view of a tensor that requires
/// gradients is refused, whether it is a leaf or not and whether autograd is on or off: autograd could not see the
/// writes. To write anyway pass `tensor.detach()`, which shares the cells. A writing view increments the tensor's
/// version once, as LibTorch's in-place operations do. So a backward pass that needs the old cells fails instead of
/// being wrong.
///
///   auto const logits = tensor_view<float const, 4, device>(z, "logits");            // of a CUDA tensor
///
/// @tparam T      the cell type; const to read, otherwise to write
/// @tparam Space  host: a tensor on the CPU; device: a tensor on a CUDA device
/// @param tensor  strided, row-major without gaps, with `Rank` axes of T
/// @param what    names it in messages
///
/// @throws precondition_error: a tensor that is undefined, not in Space, sparse, quantised, of another type or rank,
///         channels-last or otherwise not contiguous, lazily negated or conjugated; for writing, a tensor that requires
///         gradients
template <class T, int Rank, class Space = host>
[[nodiscard]] view<T, Rank, Space> tensor_view(at::Tensor const& tensor, std::string const& what = "tensor")
{
  using cell = std::remove_const_t<T>;
  expects(tensor.defined(), what, " is an undefined tensor");
  std::string const is = what + " is " + described(tensor);
  if constexpr (std::is_same_v<Space, device>) {
    expects(tensor.device().is_cuda(), is, "; expected a tensor on a CUDA device: say .cuda()");
  } else {
    expects(!tensor.is_cuda(), is,
            "; a view of the host cannot reach it: take tensor_view<T, Rank, device>, or .cpu()");
    expects(tensor.device().is_cpu(), is, "; expected a tensor on the CPU");
  }
  expects(!tensor.is_quantized(), is, " and quantised; say .dequantize()");
  expects(tensor.layout() == c10::kStrided && tensor.has_storage(), is,
          " and has no dense memory (sparse, mkldnn, or a wrapper); say .to_dense()");
  constexpr auto type = c10::CppTypeToScalarType<cell>::value;
  expects(tensor.scalar_type() == type, is, "; expected ", c10::toString(type));
  expects(tensor.dim() == Rank, is, " with ", static_cast<index_t>(tensor.dim()), " axes; expected ", Rank);
  expects(!tensor.is_neg() && !tensor.is_conj(), is, " and lazily negated or conjugated; say .resolve_neg()");
  if (!tensor.is_contiguous()) {
    bool const last = Rank == 4 && tensor.is_contiguous(c10::MemoryFormat::ChannelsLast);
    expects(false, is, last ? " and channels-last" : " and has gaps or permuted axes",
            "; expected row-major without gaps: say .contiguous()");
  }
  index_t extents[Rank];
  for (int r = 0; r < Rank; ++r) extents[r] = static_cast<index_t>(tensor.size(r));
  if constexpr (!std::is_const_v<T>) {
    expects(!tensor.requires_grad(), is,
            " and needs gradients; autograd would not see what is written: say .detach() where that is meant");
    if (!tensor.is_inference()) tensor.unsafeGetTensorImpl()->bump_version();
  }
  return {tensor.data_ptr<cell>(), extents};
}

/// Move the cells of a grid into a tensor of the same shape. Nothing is copied. The grid is empty afterwards. The
/// tensor, and all tensors that share its memory, keep the cells alive.
///
///   at::Tensor scores = into_tensor(random_walk(cpu{}, cams, transition));   // [C,H,W] on the CPU
template <class T, int Rank>
[[nodiscard]] at::Tensor into_tensor(grid<T, Rank>&& from)
{
  std::array<std::int64_t, Rank> sizes;
  for (std::size_t r = 0; r < Rank; ++r) sizes[r] = static_cast<std::int64_t>(from.shape()[r]);
  auto const options = at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value);
  auto const cells = std::make_shared<cells_t<T>>(std::move(from.cells()));
  from = grid<T, Rank>();
  if (cells->empty()) return at::empty(sizes, options);
  return at::from_blob(cells->data(), sizes, [cells](void*) {}, options);
}

/// A loss and its gradients.
struct loss_and_gradients {
  double value = 0;
  std::vector<at::Tensor> gradients;  ///< d value / d input: one per input, in order, of its shape and type
  at::Tensor value_there{};           ///< a 0-dimensional tensor that replaces `value`, to avoid waiting
};

/// Make a loss and its gradients from cambium's grids, which are moved.
template <class T, int... Rank>
[[nodiscard]] loss_and_gradients with_gradients(double value, grid<T, Rank>&&... by_input)
{
  loss_and_gradients out{value, {}, {}};
  (out.gradients.push_back(into_tensor(std::move(by_input))), ...);
  return out;
}

/// Passes its inputs on. Throws when its own derivative is requested.
struct once_differentiable : torch::autograd::Function<once_differentiable> {
  static at::Tensor forward(torch::autograd::AutogradContext*, at::Tensor const& gradient) { return gradient.clone(); }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list const&)
  {
    throw precondition_error("differentiable: a loss of cambium has a gradient but no second derivative");
  }
};

/// The autograd node of differentiable(). Gradients are computed with the value. The backward pass scales them.
struct loss_node : torch::autograd::Function<loss_node> {
  using rule = std::function<loss_and_gradients(at::TensorList)>;

  static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList inputs, rule const& loss)
  {
    loss_and_gradients got = loss(inputs);
    expects(got.gradients.size() == inputs.size(), "differentiable: the loss gave ", got.gradients.size(),
            " gradients for ", inputs.size(), " inputs");
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      at::Tensor const& by = got.gradients[i];
      expects(by.defined() && by.sizes() == inputs[i].sizes() && by.scalar_type() == inputs[i].scalar_type() &&
                  by.device() == inputs[i].device(),
              "differentiable: input ", i, " is ", described(inputs[i]), " but its gradient is ", described(by));
    }
    context->save_for_backward(std::move(got.gradients));
    if (got.value_there.defined()) return got.value_there;
    return at::full({}, got.value, inputs[0].options().layout(c10::kStrided).requires_grad(false));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list const& by_loss)
  {
    auto const gradients = context->get_saved_variables();
    bool const again = at::GradMode::is_enabled();  // create_graph: the result may be differentiated
    torch::autograd::variable_list out(gradients.size() + 1);  // the last one is the rule's: it has no gradient
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (!context->needs_input_grad(i)) continue;
      at::NoGradGuard const constant;
      out[i] = gradients[i] * by_loss[0].to(gradients[i].scalar_type());
    }
    if (again)
      for (at::Tensor& gradient : out)
        if (gradient.defined()) gradient = once_differentiable::apply(gradient.requires_grad_());
    return out;
  }
};

/// Make a loss that computes its own gradient a node of autograd.
///
///   at::Tensor const loss = differentiable({logits}, [&](at::Tensor const& z) {
///     auto got = cross_entropy(cpu{}, tensor_view<float const, 4>(z, "logits"), labels);
///     return with_gradients(got.value, std::move(got.gradient));
///   });
///   loss.backward();
///
/// The loss is called once, immediately, with autograd off. Captured tensors get no gradient, only the inputs do.
///
/// @param inputs  at least one floating-point tensor: the variables of the gradient
/// @param loss    takes as many tensors and returns loss_and_gradients
/// @return the value: a 0-dimensional tensor of the first input's type. Its backward pass scales the gradients
///
/// @throws precondition_error: an undefined input, an input that is not floating point; gradients whose number, shape,
///         type or device differ from the inputs'; a second derivative. Exceptions of `loss` are passed on
template <std::size_t N, class Loss>
  requires std::is_same_v<decltype(std::apply(std::declval<Loss const&>(), std::declval<std::array<at::Tensor, N>>())),
                          loss_and_gradients>
[[nodiscard]] at::Tensor differentiable(at::Tensor const (&inputs)[N], Loss const& loss)
{
  for (std::size_t i = 0; i < N; ++i)
    expects(inputs[i].defined() && at::isFloatingType(inputs[i].scalar_type()), "differentiable: input ", i, " is ",
            described(inputs[i]), "; expected a floating-point tensor");
  at::TensorList list(inputs, N);
  loss_node::rule const call = [&loss](at::TensorList all) {
    std::array<at::Tensor, N> each;
    std::copy(all.begin(), all.end(), each.begin());
    return std::apply(loss, each);
  };
  return loss_node::apply(list, call);
}

}  // namespace cambium
