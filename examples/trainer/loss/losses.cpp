#include "loss/losses.hpp"

#include "process/processes.hpp"

#include <cambium/interop/torch.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

namespace trainer {

using cambium::described;
using cambium::differentiable;
using cambium::expects;
using cambium::tensor_view;
using cambium::view;
using cambium::with_gradients;

namespace {

/// Calls body with a number of the tensor's type, float or double.
template <class Body>
at::Tensor for_type_of(at::Tensor const& output, std::string const& what, Body const& body)
{
  if (output.defined() && output.scalar_type() == at::kFloat) return body(0.f);
  if (output.defined() && output.scalar_type() == at::kDouble) return body(0.0);
  throw cambium::precondition_error(what + " is " + described(output) + "; expected Float or Double");
}

/// Calls body with a view of the labels, whatever integers they are.
template <class Body>
at::Tensor for_labels(at::Tensor const& labels, std::string const& what, Body const& body)
{
  if (labels.defined() && labels.scalar_type() == at::kByte)
    return body(tensor_view<std::uint8_t const, 3>(labels, what));
  if (labels.defined() && labels.scalar_type() == at::kInt)
    return body(tensor_view<std::int32_t const, 3>(labels, what));
  if (labels.defined() && labels.scalar_type() == at::kLong)
    return body(tensor_view<std::int64_t const, 3>(labels, what));
  throw cambium::precondition_error(what + " is " + described(labels) + "; expected Byte, Int or Long");
}

/// The tensor as the door takes it; a step of autograd where a copy is needed. What else is wrong is the door's to say.
at::Tensor row_major(at::Tensor const& tensor, std::string const& what)
{
  expects(tensor.defined(), what, " is an undefined tensor");
  return tensor.layout() == c10::kStrided ? tensor.contiguous() : tensor;
}

template <class Loss>
at::Tensor guided(at::Tensor const& output, at::Tensor const& target, at::Tensor const& weight, std::string const& name,
                  Loss const& loss)
{
  return for_type_of(output, name + ": output", [&](auto number) {
    using T = decltype(number);
    at::Tensor const t = row_major(target, name + ": target"), w = row_major(weight, name + ": weight");
    return differentiable({row_major(output, name + ": output")}, [&](at::Tensor const& o) {
      auto got = loss(tensor_view<T const, 4>(o, name + ": output"), tensor_view<T const, 4>(t, name + ": target"),
                      tensor_view<T const, 4>(w, name + ": weight"));
      return with_gradients(got.value, std::move(got.gradient));
    });
  });
}

}  // namespace

at::Tensor affinity_displacement(cambium::cpu const& where, at::Tensor const& boundary, at::Tensor const& displacement,
                                 at::Tensor const& labels, cambium::affinity_loss_options const& options,
                                 cambium::affinity_loss_values* parts)
{
  std::string const name = "affinity_displacement";
  return for_type_of(boundary, name + ": boundary", [&](auto number) {
    using T = decltype(number);
    auto const l = tensor_view<std::int32_t const, 3>(labels, name + ": labels");
    bool const has_channel = boundary.dim() == 4;
    expects(!has_channel || boundary.size(1) == 1, name, ": boundary is ", described(boundary),
            "; expected [B,1,H,W] or [B,H,W]");
    at::Tensor const logits = row_major(has_channel ? boundary.squeeze(1) : boundary, name + ": boundary");
    auto const run = [&](at::Tensor const& z, view<T const, 4> field) {
      auto got = cambium::affinity_displacement_loss<T>(where, tensor_view<T const, 3>(z, name + ": boundary"), field,
                                                        l, options);
      if (parts != nullptr) *parts = got.value;
      return got;
    };
    if (!displacement.defined())
      return differentiable({logits}, [&](at::Tensor const& z) {
        auto got = run(z, {});
        return with_gradients(got.value.total(), std::move(got.boundary));
      });
    return differentiable({logits, row_major(displacement, name + ": displacement")},
                          [&](at::Tensor const& z, at::Tensor const& field) {
                            auto got = run(z, tensor_view<T const, 4>(field, name + ": displacement"));
                            return with_gradients(got.value.total(), std::move(got.boundary), std::move(got.field));
                          });
  });
}

at::Tensor cross_entropy(cambium::cpu const& where, at::Tensor const& logits, at::Tensor const& labels)
{
  std::string const name = "cross_entropy";
  return for_type_of(logits, name + ": logits", [&](auto number) {
    using T = decltype(number);
    return for_labels(labels, name + ": labels", [&](auto l) {
      return differentiable({row_major(logits, name + ": logits")}, [&](at::Tensor const& z) {
        auto got = cambium::cross_entropy(where, tensor_view<T const, 4>(z, name + ": logits"), l);
        return with_gradients(got.value, std::move(got.gradient));
      });
    });
  });
}

at::Tensor hardest_pixels_cross_entropy(cambium::cpu const& where, at::Tensor const& logits, at::Tensor const& labels,
                                        cambium::hard_pixel_options const& options)
{
  std::string const name = "hardest_pixels_cross_entropy";
  return for_type_of(logits, name + ": logits", [&](auto number) {
    using T = decltype(number);
    return for_labels(labels, name + ": labels", [&](auto l) {
      return differentiable({row_major(logits, name + ": logits")}, [&](at::Tensor const& z) {
        auto got =
            cambium::hardest_pixels_cross_entropy(where, tensor_view<T const, 4>(z, name + ": logits"), l, options);
        return with_gradients(got.value, std::move(got.gradient));
      });
    });
  });
}

at::Tensor guided_square_error(cambium::cpu const& where, at::Tensor const& output, at::Tensor const& target,
                               at::Tensor const& weight, cambium::guided_options const& options)
{
  return guided(output, target, weight, "guided_square_error", [&](auto const& o, auto const& t, auto const& w) {
    return cambium::guided_square_error(where, o, t, w, options);
  });
}

at::Tensor guided_absolute_error(cambium::cpu const& where, at::Tensor const& output, at::Tensor const& target,
                                 at::Tensor const& weight, cambium::guided_options const& options)
{
  return guided(output, target, weight, "guided_absolute_error", [&](auto const& o, auto const& t, auto const& w) {
    return cambium::guided_absolute_error(where, o, t, w, options);
  });
}

at::Tensor label_uncertainty(cambium::cpu const& where, at::Tensor const& mean, at::Tensor const& log_variance,
                             at::Tensor const& target, at::Tensor const& trusted,
                             cambium::label_uncertainty_options const& options,
                             cambium::label_uncertainty_value* counted)
{
  std::string const name = "label_uncertainty";
  return for_type_of(mean, name + ": mean", [&](auto number) {
    using T = decltype(number);
    at::Tensor const y = row_major(target, name + ": target"), r = row_major(trusted, name + ": trusted");
    return differentiable({row_major(mean, name + ": mean"), row_major(log_variance, name + ": log_variance")},
                          [&](at::Tensor const& m, at::Tensor const& s) {
                            auto got = cambium::label_uncertainty_loss(
                                where, tensor_view<T const, 4>(m, name + ": mean"),
                                tensor_view<T const, 4>(s, name + ": log_variance"),
                                tensor_view<T const, 4>(y, name + ": target"),
                                tensor_view<std::uint8_t const, 4>(r, name + ": trusted"), options);
                            if (counted != nullptr) *counted = got;
                            return with_gradients(got.value, std::move(got.by_mean), std::move(got.by_log_variance));
                          });
  });
}

at::Tensor box_projection(cambium::cpu const& where, at::Tensor const& logits,
                          view<cambium::boxed_instance const, 1> const& instances,
                          cambium::projection_options const& options)
{
  std::string const name = "box_projection";
  return for_type_of(logits, name + ": logits", [&](auto number) {
    using T = decltype(number);
    return differentiable({row_major(logits, name + ": logits")}, [&](at::Tensor const& z) {
      auto got = cambium::box_projection_loss(where, tensor_view<T const, 3>(z, name + ": logits"), instances, options);
      return with_gradients(got.value, std::move(got.gradient));
    });
  });
}

at::Tensor pairwise(cambium::cpu const& where, at::Tensor const& logits,
                    view<cambium::boxed_instance const, 1> const& instances,
                    cambium::stack_view<std::uint32_t const> const& pairs, cambium::pairwise_options const& options)
{
  std::string const name = "pairwise";
  return for_type_of(logits, name + ": logits", [&](auto number) {
    using T = decltype(number);
    return differentiable({row_major(logits, name + ": logits")}, [&](at::Tensor const& z) {
      auto got =
          cambium::pairwise_loss(where, tensor_view<T const, 3>(z, name + ": logits"), instances, pairs, options);
      return with_gradients(got.value, std::move(got.gradient));
    });
  });
}

at::Tensor tree_energy(cambium::cpu const& where, at::Tensor const& probabilities, at::Tensor const& roi,
                       at::Tensor const& low, at::Tensor const& high, cambium::tree_filter_options const& options)
{
  std::string const name = "tree_energy";
  return for_type_of(probabilities, name + ": probabilities", [&](auto number) {
    using T = decltype(number);
    at::Tensor const r = row_major(roi, name + ": roi"), l = row_major(low, name + ": low");
    auto const run = [&](at::Tensor const& p, cambium::grid<T, 4> const* guide) {
      return cambium::tree_energy_loss(where, tensor_view<T const, 4>(p, name + ": probabilities"),
                                       tensor_view<T const, 4>(r, name + ": roi"),
                                       tensor_view<T const, 4>(l, name + ": low"), guide, options);
    };
    at::Tensor const own = row_major(probabilities, name + ": probabilities");
    if (!high.defined())
      return differentiable({own}, [&](at::Tensor const& p) {
        auto got = run(p, nullptr);
        return with_gradients(got.value, std::move(got.gradient));
      });
    return differentiable({own, row_major(high, name + ": high")}, [&](at::Tensor const& p, at::Tensor const& h) {
      auto const from = tensor_view<T const, 4>(h, name + ": high");
      cambium::grid<T, 4> guide(from.extent[0], from.extent[1], from.extent[2], from.extent[3]);
      std::copy_n(from.data, from.size(), guide.data());
      auto got = run(p, &guide);
      return with_gradients(got.value, std::move(got.gradient), std::move(got.by_high));
    });
  });
}

at::Tensor multilabel_soft_margin(at::Tensor const& logits, at::Tensor const& tags, at::Tensor const& counts)
{
  std::string const name = "multilabel_soft_margin";
  return for_type_of(logits, name + ": logits", [&](auto number) {
    using T = decltype(number);
    at::Tensor const z = row_major(logits, name + ": logits"), t = row_major(tags, name + ": tags");
    auto const scores = tensor_view<T const, 2>(z, name + ": logits");
    auto const present = tensor_view<T const, 2>(t, name + ": tags");
    expects(cambium::same_shape(scores, present), name, ": logits are ", scores, " but tags are ", present);
    expects(scores.size() > 0, name, ": logits are ", scores, "; a mean needs one");
    cambium::expects_finite(cambium::cpu{.threads = 1}, scores, "multilabel_soft_margin: logits");
    cambium::expects_inside(cambium::cpu{.threads = 1}, present, T(0), T(1), "multilabel_soft_margin: tags",
                            "a value in [0,1]");
    // As torch::nn::functional::multilabel_soft_margin_loss says it; its header is the largest of LibTorch's.
    auto const likelihood = t.detach() * at::log_sigmoid(z) + (1 - t.detach()) * at::log_sigmoid(-z);
    if (!counts.defined()) return -likelihood.mean(1).mean();
    expects(counts.sizes() == t.sizes(), name, ": tags are ", present, " but what counts is of another shape");
    return -(counts.detach() * likelihood).mean(1).mean();
  });
}

at::Tensor hardest_pixels_of_all(cambium::cpu const& where, at::Tensor const& logits, at::Tensor const& labels,
                                 cambium::hard_pixel_options const& options, std::int64_t batch)
{
  return hardest_pixels_cross_entropy(where, processes::gathered(logits, batch), processes::gathered(labels, batch),
                                      options);
}

namespace {

/// The pixels that a guided loss is a mean of.
double guided_pixels(at::Tensor const& weight)
{
  return processes::size() == 1 ? 0 : static_cast<double>((weight > 0).sum().item<std::int64_t>());
}

}  // namespace

at::Tensor guided_square_error_of_all(cambium::cpu const& where, at::Tensor const& output, at::Tensor const& target,
                                      at::Tensor const& weight)
{
  return processes::mean(guided_square_error(where, output, target, weight), guided_pixels(weight));
}

at::Tensor guided_absolute_error_of_all(cambium::cpu const& where, at::Tensor const& output, at::Tensor const& target,
                                        at::Tensor const& weight)
{
  return processes::mean(guided_absolute_error(where, output, target, weight), guided_pixels(weight));
}

at::Tensor tags_loss_of_all(at::Tensor const& logits, at::Tensor const& tags, at::Tensor const& counts,
                            std::int64_t batch)
{
  if (processes::size() == 1) return multilabel_soft_margin(logits, tags, counts);
  // a share without unsure tags has no counts, another may
  return multilabel_soft_margin(processes::gathered(logits, batch), processes::gathered(tags, batch),
                                processes::gathered(counts.defined() ? counts : at::ones_like(tags), batch));
}

}  // namespace trainer
