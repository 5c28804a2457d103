#pragma once
// Mean-field inference: its state, what kernels take off the energies, and the marginals. By rules, for any policy; the
// cpu's schedule is in mean_field_cores.hpp.

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/crf/filter.hpp>
#include <cambium/crf/kernels.hpp>
#include <cambium/crf/label_planes.hpp>
#include <cambium/crf/pixel_order.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/exec/softmax.hpp>
#include <cambium/grid/grid.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace cambium {

/// A process-wide id. It detects a mean_field that another CRF began: their lattices differ even where their sizes do
/// not.
inline std::uint64_t new_crf_id()
{
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

/// What a kernel filters with, and the factors of its sums.
template <execution_policy P>
struct crf_sums {
  std::variant<permutohedral<P>, all_pairs<P>> filter;
  grid<float, 1, typename P::memory> factor{};  ///< [N] 1/d or 1/sqrt(d); nothing if sums are not normalised
};

/// One kernel of a CRF, ready to filter. CRFs of images of one size may share its sums.
template <execution_policy P>
struct crf_kernel {
  std::shared_ptr<crf_sums<P> const> sums;
  kernel_norm by = kernel_norm::none;
  bool potts = true;
  bool matrix = false;
  float gain = 1;                               ///< of messages: the weight, if there is only one
  grid<float, 1, typename P::memory> compat{};  ///< the weights

  auto const& filter() const { return sums->filter; }
  float const* before() const
  {
    return by == kernel_norm::before || by == kernel_norm::symmetric ? sums->factor.view().data : nullptr;
  }
  float const* after() const
  {
    return by == kernel_norm::after || by == kernel_norm::symmetric ? sums->factor.view().data : nullptr;
  }
};

/// What the steps of an inference work in.
template <execution_policy P>
struct mean_field_room {
  using S = typename P::memory;
  grid<float, 1, S> force, message;  ///< [N,L]; the latter where kernels need it
  lattice_scratch<P> lattices;
};
template <>
struct mean_field_room<cpu> {
  std::vector<lattice_values> held;  ///< per kernel: what the filter holds of q
  index_t together = 1;              ///< parts that read it and spread anew at a time
  cells_t<float> force;              ///< [N,L], for the divergence
  enum { nothing, spread, summed } holds = nothing;
};

/// The state of a mean-field inference: marginals of L labels at N pixels, which stand in pixel_order. Made by
/// dense_crf::start.
template <execution_policy P = cpu>
struct mean_field {
  using S = typename P::memory;
  std::uint64_t crf = 0;  ///< id of the dense_crf that began it
  extent2 size;
  std::size_t kernels = 0;
  index_t labels = 0;              ///< L, of those that take part
  index_t all = 0;                 ///< labels of the unary energies
  index_t steps = 0;               ///< done so far
  grid<std::int32_t, 1, S> id;     ///< [L] which of them take part
  grid<std::int32_t, 1, S> place;  ///< [all] where a label is among them, or -1
  grid<float, 1, S> gain;          ///< [N,L] minus the unary energies
  grid<float, 1, S> q;             ///< [N,L] marginals
  mean_field_room<P> room;

  index_t pixels() const { return size.height * size.width; }
  compatibility_map compat(crf_kernel<P> const& k) const
  {
    auto const w = k.compat.view();
    return {w.data, w.extent[0], k.matrix, id.view().data, labels, all};
  }
};

/// From one pixel's or lattice point's values to the next one's where they are worked on: on the cpu whole registers.
template <class P>
index_t padded_labels(index_t labels)
{
  return !std::is_same_v<P, cpu> || labels <= 2 ? labels : (labels + 3) / 4 * 4;
}

/// As dense_crf::bytes_needed.
template <class P>
double crf_bytes_needed(extent2 size, std::vector<crf_tie> const& kernels, index_t labels)
{
  constexpr bool on_cores = std::is_same_v<P, cpu>;
  auto const L = static_cast<double>(labels), stride = static_cast<double>(padded_labels<P>(labels));
  double kept = 0, building = 0, inferring = 0;
  for (auto const& k : kernels) {
    double const D = static_cast<double>(k.features), share = k.features > 2 ? 0.6 : 0.15;
    kept += (on_cores ? 6 * D + 4 : 12 * (D + 1)) + 4 +
            share * (on_cores ? 5 * (D + 1) + 40 + 8 * stride : 4 + 8 * (D + 1));
    building = std::max(building, 4 * D + 80 * (D + 1));
    inferring = std::max(inferring, 8 * L * share + (k.compat.potts() ? 0 : 4 * L));
  }
  double const a_pixel = on_cores ? kept + 12 * L                                   // unary energies, gain, marginals
                                  : kept + std::max(building, inferring + 16 * L);  // and forces
  return a_pixel * static_cast<double>(size.height) * static_cast<double>(size.width);
}

namespace rule {

/// d becomes 1/d, or 1/sqrt(d).
struct invert_sums {
  bool root;
  float* sum;
  CAMBIUM_HD void operator()(index_t i) const
  {
    float const d = sum[i] + 1e-20f;
    sum[i] = root ? 1.f / std::sqrt(d) : 1.f / d;
  }
};

/// What messages do to energies where labels weigh differently.
struct mix_labels {
  float const* message;  ///< [N,stride]
  compatibility_map by;
  index_t stride;
  value_rows on;
  float* to;  ///< [N,stride]

  CAMBIUM_HD void operator()(index_t i, index_t l) const
  {
    to[i * stride + l] = by.take(on.first == nullptr ? 0.f : on.first[i * on.step + l], 1.f, message + i * stride, l);
  }
  CAMBIUM_HD void operator()(index_t at) const { (*this)(at / by.labels, at % by.labels); }
};

/// Softmax over the labels of a pixel.
struct normalise_pixel {
  float const* force;  ///< [N,labels] minus energies
  index_t labels;
  float* q;

  CAMBIUM_HD void operator()(index_t i) const
  {
    float const* const from = force + i * labels;
    float* const to = q + i * labels;
    auto const total = softmax_of(
        labels, [from](index_t l) { return from[l]; }, [to](index_t l, float v) { return to[l] = exponential(v); });
    float const times = 1 / total.sum;
    for (index_t l = 0; l < labels; ++l) to[l] = to[l] * times;
  }
};

template <class S>
struct argmax_of_marginals {
  float const* q;  ///< [N,labels]
  std::int32_t const* id;
  index_t labels;
  view<std::int32_t, 2, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x, index_t at) const
  {
    float const* const here = q + at * labels;
    index_t best = 0;
    for (index_t l = 1; l < labels; ++l)
      if (here[best] < here[l]) best = l;
    out(y, x) = id[best];
  }
};

}  // namespace rule

/// What all kernels take off the energies, on top of `below`, which may be null: 0. @return where, null for 0
template <class P>
float const* receive(P const& where, std::vector<crf_kernel<P>> const& kernels, mean_field<P>& field,
                     float const* below)
{
  index_t const L = field.labels;
  float *const force = field.room.force.view().data, *const message = field.room.message.view().data;
  for (auto const& k : kernels) {
    std::visit(
        [&](auto const& filter) {
          float const* const blurred = spread_and_blur(where, filter, std::as_const(field.q).view().data, L, k.before(),
                                                       L, false, field.room.lattices);
          read_back(where, filter, blurred, k.gain, k.after(), L, k.potts ? below : nullptr, k.potts ? force : message,
                    L);
        },
        k.filter());
    if (!k.potts)
      for_each_index(where, field.pixels() * L, rule::mix_labels{message, field.compat(k), L, {below, L}, force});
    below = force;
  }
  return below;
}

/// Make room for inference with all kernels.
template <class P>
void make_room_on(P const& where, std::vector<crf_kernel<P>> const& kernels, mean_field<P>& field)
{
  index_t const cells = field.pixels() * field.labels;
  bool mixes = false;
  index_t most = 0;  // points of the largest lattice
  for (auto const& k : kernels) {
    mixes = mixes || !k.potts;
    most = std::max(most, std::visit([](auto const& filter) { return filter.points(); }, k.filter()));
  }
  field.room.force = make_grid<float>(where, {cells});
  field.room.message = make_grid<float>(where, {mixes ? cells : 0});
  field.room.lattices = lattice_scratch<P>(where, most * field.labels);
}

/// The first marginals.
template <class P>
void start_on(P const& where, std::vector<crf_kernel<P>> const&, mean_field<P>& field)
{
  for_each_index(where, field.pixels(),
                 rule::normalise_pixel{field.gain.view().data, field.labels, field.q.view().data});
}

template <class P>
void step_on(P const& where, std::vector<crf_kernel<P>> const& kernels, mean_field<P>& field, int count)
{
  for (int t = 0; t < count; ++t) {
    float const* const force = receive(where, kernels, field, field.gain.view().data);
    for_each_index(where, field.pixels(), rule::normalise_pixel{force, field.labels, field.q.view().data});
  }
}

/// What all kernels take off the energies, [N,L], or null: 0.
template <class P>
float* energies_taken(P const& where, std::vector<crf_kernel<P>> const& kernels, mean_field<P>& field)
{
  receive(where, kernels, field, nullptr);
  return kernels.empty() ? nullptr : field.room.force.view().data;
}

/// The marginals of an inference in the label space of its unary energies, into memory of the caller.
///
/// @param out  [L,H,W] each in [0,1], their sum 1 up to rounding; 0 for labels that take no part
/// @throws     precondition_error: another shape
/// @asynchrony gpu: enqueues and returns
template <execution_policy P>
void marginals_into(P const& where, mean_field<P> const& field, view<float, 3, typename P::memory> out)
{
  expects(out.extent[0] == field.all && out.extent[1] == field.size.height && out.extent[2] == field.size.width,
          "marginals: out is ", out, " but the field has ", field.all, " labels of ", field.size.height, " x ",
          field.size.width);
  rows_to_planes(where, {field.size}, field.q.view().data, field.id.view().data, field.labels, field.place.view().data,
                 out);
}

/// As marginals_into, and allocates the result.
/// @return [L,H,W] in the memory of the policy
template <execution_policy P>
[[nodiscard]] grid<float, 3, typename P::memory> marginals(P const& where, mean_field<P> const& field)
{
  auto out = make_grid<float>(where, {field.all, field.size.height, field.size.width});
  marginals_into(where, field, out.view());
  return out;
}
/// As marginals, on one thread.
[[nodiscard]] inline grid<float, 3> marginals(mean_field<cpu> const& field)
{
  return marginals(cpu{.threads = 1}, field);
}

/// The most probable label of each pixel, in the label space of the unary energies, into memory of the caller. Of equal
/// ones the first that takes part.
///
/// @param out  [H,W]
/// @throws     precondition_error: another shape
/// @asynchrony gpu: enqueues and returns
template <execution_policy P>
void argmax_labels_into(P const& where, mean_field<P> const& field, view<std::int32_t, 2, typename P::memory> out)
{
  expects(out.extent[0] == field.size.height && out.extent[1] == field.size.width, "argmax_labels: out is ", out,
          " but the field is ", field.size.height, " x ", field.size.width);
  for_each_pixel(
      where, {field.size}, 1,
      rule::argmax_of_marginals<typename P::memory>{field.q.view().data, field.id.view().data, field.labels, out});
}

/// As argmax_labels_into, and allocates the result.
/// @return [H,W] in the memory of the policy
template <execution_policy P>
[[nodiscard]] grid<std::int32_t, 2, typename P::memory> argmax_labels(P const& where, mean_field<P> const& field)
{
  auto out = make_grid<std::int32_t>(where, {field.size.height, field.size.width});
  argmax_labels_into(where, field, out.view());
  return out;
}
/// As argmax_labels, on one thread.
[[nodiscard]] inline grid<std::int32_t, 2> argmax_labels(mean_field<cpu> const& field)
{
  return argmax_labels(cpu{.threads = 1}, field);
}

}  // namespace cambium
