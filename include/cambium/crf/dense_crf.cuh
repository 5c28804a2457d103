#pragma once
// The fully connected CRF on a GPU: mean field with the operations of dense_crf.hpp, in its order, products rounded one by
// one as a processor without fused ones does.

#include <cambium/crf/dense_crf.hpp>
#include <cambium/crf/permutohedral.cuh>
#include <cambium/crf/unary.cuh>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/read_cell.cuh>
#include <cambium/exec/reduce.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// e^x as exponential() in simd.hpp computes a lane of it.
CAMBIUM_HD inline float exponential_of(float x)
{
  x = x < -87.f ? -87.f : x;
  x = x > 88.f ? 88.f : x;
  float const shifted = rounded_product(x, 1.44269504f) + 12582912.f;  // the whole part of log2, in the low bits
  float const whole = shifted - 12582912.f;
  float const r = (x - rounded_product(whole, 0.693359375f)) - rounded_product(whole, -2.12194440e-4f);
  float p = rounded_product(r, 1.98412698e-4f) + 1.38888889e-3f;
  p = rounded_product(p, r) + 8.33333333e-3f;
  p = rounded_product(p, r) + 4.16666667e-2f;
  p = rounded_product(p, r) + 1.66666667e-1f;
  p = rounded_product(p, r) + 0.5f;
  p = rounded_product(p, r) + 1.f;
  p = rounded_product(p, r) + 1.f;
  std::uint32_t result, exponent;
  memcpy(&result, &p, sizeof result);
  memcpy(&exponent, &shifted, sizeof exponent);
  result += exponent << 23;
  memcpy(&p, &result, sizeof p);
  return p;
}

/// A few numbers that travel with the launch, so that no memory of the host has to outlive it.
template <class T>
struct put_numbers {
  static constexpr index_t most = 64;
  T at[most];
  T* to;
  CAMBIUM_HD void operator()(index_t i) const { to[i] = at[i]; }
};
template <class P, class T>
void put(P const& where, std::vector<T> const& from, T* to)
{
  for (std::size_t first = 0; first < from.size(); first += put_numbers<T>::most) {
    put_numbers<T> rule{{}, to + first};
    std::size_t const n = std::min<std::size_t>(put_numbers<T>::most, from.size() - first);
    std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(first), n, rule.at);
    for_each_index(where, static_cast<index_t>(n), rule);
  }
}

/// Features of a pixel: x/sxy, y/sxy, colour/srgb.
template <class V, class S>
struct make_features {
  view<V const, 3, S> image;
  float sxy, srgb;
  float* out;  ///< [D,H * W]

  CAMBIUM_HD void operator()(index_t d, index_t y, index_t x) const
  {
    float const v = d == 0   ? static_cast<float>(x) / sxy
                    : d == 1 ? static_cast<float>(y) / sxy
                             : static_cast<float>(image(y, x, d - 2)) / srgb;
    out[(d * image.extent[0] + y) * image.extent[1] + x] = v;
  }
};

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

/// The kernel itself, pair by pair, for a pixel and up to four channels.
struct sum_all_pairs {
  static constexpr index_t group = 4;
  float const* feature;  ///< [D,N]
  index_t dimension, positions;
  float const* in;  ///< [N,step], or null: all 1
  index_t step;
  float const* factor;  ///< [N], or null
  index_t channels;
  float* out;  ///< [N,channels]

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const groups = (channels + group - 1) / group, i = at / groups, first = at % groups * group;
    index_t const n = channels - first < group ? channels - first : group;
    double sum[group]{};
    for (index_t j = 0; j < positions; ++j) {
      double distance = 0;
      for (index_t d = 0; d < dimension; ++d) {
        double const apart =
            static_cast<double>(feature[d * positions + i]) - static_cast<double>(feature[d * positions + j]);
        distance += apart * apart;
      }
      double const weight = std::exp(-distance / 2) * (factor != nullptr ? static_cast<double>(factor[j]) : 1.0);
      for (index_t c = 0; c < n; ++c)
        sum[c] += weight * (in == nullptr ? 1.0 : static_cast<double>(in[j * step + first + c]));
    }
    for (index_t c = 0; c < n; ++c) out[i * channels + first + c] = static_cast<float>(sum[c]);
  }
};

/// Sums of an exact kernel on top of other energies.
struct add_pairs {
  float const* summed;  ///< [N,labels]
  float weight;
  float const* factor;  ///< [N], or null
  index_t labels;
  float const* on;  ///< or null: 0
  float* to;

  CAMBIUM_HD void operator()(index_t i) const
  {
    float const times = factor == nullptr ? weight : rounded_product(weight, factor[i / labels]);
    to[i] = (on == nullptr ? 0.f : on[i]) + rounded_product(times, summed[i]);
  }
};

/// What messages do to energies where labels weigh differently.
struct mix_labels {
  float const* message;  ///< [N,labels]
  float const* weight;   ///< [all], or [all,all]
  bool matrix;
  std::int32_t const* id;
  index_t labels, all;
  float const* on;  ///< or null: 0
  float* to;

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const l = at % labels, row = at - l;
    float taken = on == nullptr ? 0.f : on[at];
    if (matrix)
      for (index_t m = 0; m < labels; ++m) taken -= rounded_product(weight[id[l] * all + id[m]], message[row + m]);
    else
      taken += rounded_product(weight[id[l]], message[at]);
    to[at] = taken;
  }
};

/// Minus the unary energies of the labels that take part.
template <class U, class S>
struct begin_gain {
  view<U const, 3, S> unary;
  std::int32_t const* id;
  index_t labels;
  float* gain;  ///< [N,labels]

  CAMBIUM_HD void operator()(index_t l, index_t y, index_t x) const
  {
    gain[(y * unary.extent[2] + x) * labels + l] = -static_cast<float>(unary(id[l], y, x));
  }
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
    float most = from[0], sum = 0;
    for (index_t l = 1; l < labels; ++l) most = from[l] > most ? from[l] : most;
    for (index_t l = 0; l < labels; ++l) sum += to[l] = exponential_of(from[l] - most);
    for (index_t l = 0; l < labels; ++l) to[l] = to[l] / sum;
  }
};

/// What a kernel gives a pixel of its own marginals.
struct share_of_pixel {
  lattice_map map;  ///< of an exact kernel: without corners
  float gain;
  float const *before, *after;  ///< [N], or null
  float* out;

  CAMBIUM_HD void operator()(index_t i) const
  {
    auto const beside = [this](int axis, std::int32_t point, int way) {
      return map.neighbour[(axis * map.points + point) * 2 + way];
    };
    index_t const first = i * map.corners;
    float own = 1;
    if (map.corners > 0)
      own = static_cast<float>(static_cast<double>(gain) * own_share(map.corners, map.corner + first,
                                                                     map.weight + first, std::int32_t{-1}, beside));
    if (before != nullptr) own = rounded_product(own, before[i]);
    if (after != nullptr) own = rounded_product(own, after[i]);
    out[i] = own;
  }
};

/// A pixel is no neighbour of its own.
struct take_own_share {
  float const *own, *q;  ///< [N], [N,labels]
  attraction by;
  float* force;  ///< [N,labels]

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const i = at / by.labels;
    force[at] -= by(own[i], q + i * by.labels, at % by.labels);
  }
};

/// A pixel's share of the divergence.
struct divergence_of_pixel {
  float const *q, *gain, *force;  ///< [N,labels]; the last may be null: 0
  index_t labels;

  CAMBIUM_HD double operator()(index_t i) const
  {
    double sum = 0;
    for (index_t at = i * labels; at < (i + 1) * labels; ++at) {
      double const p = static_cast<double>(q[at]);
      double const taken = force == nullptr ? 0 : static_cast<double>(force[at]);
      if (p > 0) sum += p * (std::log(p) - static_cast<double>(gain[at]) - taken / 2);
    }
    return sum;
  }
};

/// As mean_field, in the memory of a policy. Made by dense_crf_on::start.
template <execution_policy P>
struct mean_field_on {
  using S = typename P::memory;
  std::uint64_t crf = 0;  ///< which dense_crf_on began it
  extent2 size;
  std::size_t kernels = 0;
  index_t labels = 0;                  ///< L, of those that take part
  index_t all = 0;                     ///< labels of the unary energies
  std::vector<index_t> ids;            ///< [L] which of them take part
  index_t steps = 0;                   ///< done so far
  grid<std::int32_t, 1, S> id, place;  ///< [L] as ids, and [all] where a label is among them, or -1
  grid<float, 1, S> gain, q;           ///< [N,L] minus the unary energies, and marginals
  grid<float, 1, S> force, message;    ///< [N,L] room; the latter where kernels need it
  lattice_scratch<P> lattices;
};

/// As dense_crf, in the memory of a policy.
template <execution_policy P>
class dense_crf_on {
 public:
  using S = typename P::memory;

  /// Build the lattices of an image: parameters and options as of dense_crf.
  ///
  /// Colours are not looked at by themselves, but features are: one that is no finite number is refused by the lattice,
  /// with its own message. With exact kernels nothing is looked at.
  ///
  /// @throws       precondition_error as dense_crf; gpu_error
  /// @complexity   a sort of the corners of all pixels for each kernel
  /// @determinism  exact
  /// @asynchrony   gpu: waits for the stream twice a kernel, see permutohedral_on
  template <stack_like I>
    requires reaches<P, space_of<I, 3>>
  dense_crf_on(P const& where, I const& image, std::vector<pairwise> kernels, crf_build options = {})
      : kernels_(std::move(kernels)), exactly_(options.exact)
  {
    using V = value_of<I, 3>;
    view<V const, 3, S> const in = as_view<3>(image, "dense_crf: image");
    index_t const H = in.extent[0], W = in.extent[1], bands = in.extent[2], N = H * W;
    size_ = {H, W};
    bands_ = bands;
    most_bytes_ = options.most_bytes;
    check_kernels(kernels_, bands);
    expects_room(2);
    for (auto const& k : kernels_) {
      index_t const D = 2 + (k.srgb > 0 ? bands : 0);
      auto features = make_grid<float>(where, {D, N});
      index_t const cells[3] = {D, H, W};
      for_each_cell(
          where, cells,
          make_features<V, S>{in, static_cast<float>(k.sxy), static_cast<float>(k.srgb), features.view().data});
      if (exactly_)
        exact_.push_back(std::move(features));
      else
        lattice_.emplace_back(where, std::as_const(features), lattice_options{options.pad});
      std::vector<float> const weight(k.compat.weight.begin(), k.compat.weight.end());
      compat_.push_back(make_grid<float>(where, {static_cast<index_t>(weight.size())}));
      put(where, weight, compat_.back().view().data);
    }
    for (std::size_t k = 0; k < kernels_.size(); ++k) scale_kernel(where, k);
  }

  /// About how many bytes an inference takes at its peak, or the building of a lattice, if that is more.
  static double bytes_needed(extent2 size, index_t bands, std::vector<pairwise> const& kernels, index_t labels)
  {
    auto const L = static_cast<double>(labels);
    double kept = 0, building = 0, inferring = 0;
    for (auto const& k : kernels) {
      double const D = k.srgb > 0 ? 2 + static_cast<double>(bands) : 2, points = k.srgb > 0 ? 0.6 : 0.15;
      bool const mixes = k.compat.matrix || k.compat.weight.size() > 1;
      kept += 12 * (D + 1) + 4 + points * (4 + 8 * (D + 1));
      building = std::max(building, 4 * D + 80 * (D + 1));
      inferring = std::max(inferring, 8 * L * points + (mixes ? 4 * L : 0));
    }
    inferring += 16 * L;  // unary energies, gain, marginals, forces
    return (kept + std::max(building, inferring)) * static_cast<double>(size.height) * static_cast<double>(size.width);
  }

  extent2 size() const { return size_; }
  std::vector<pairwise> const& kernels() const { return kernels_; }

  /// Begin an inference: the marginals are the softmax of minus the unary energies.
  ///
  /// @param where    gpu
  /// @param unary    [L,H,W] energies, L >= 1. They are not looked at: a NaN or an infinity spreads as far as the
  ///                 kernels reach
  /// @param present  the labels that take part, all if empty: the others have marginals of 0 and cost nothing
  ///
  /// @throws       precondition_error as dense_crf::start, but for values
  /// @asynchrony   gpu: enqueues and returns
  template <stack_like U>
  [[nodiscard]] mean_field_on<P> start(P const& where, U const& unary, std::vector<index_t> present = {}) const
  {
    using V = value_of<U, 3>;
    view<V const, 3, S> const in = as_view<3>(unary, "dense_crf: unary");
    index_t const all = in.extent[0], N = size_.height * size_.width;
    if (present.empty()) {
      present.resize(static_cast<std::size_t>(all));
      std::iota(present.begin(), present.end(), index_t{0});
    }
    check_present(present, all);
    index_t const L = static_cast<index_t>(present.size());
    expects(all >= 1 && in.extent[1] == size_.height && in.extent[2] == size_.width, "dense_crf: unary is ", in,
            " but the image is ", size_.height, " x ", size_.width);
    expects_room(L);
    check_compatibilities(kernels_, all);
    mean_field_on<P> field;
    field.crf = number_, field.size = size_, field.kernels = kernels_.size(), field.labels = L, field.all = all;
    std::vector<std::int32_t> const id(present.begin(), present.end());
    std::vector<std::int32_t> place(static_cast<std::size_t>(all), -1);
    for (std::size_t l = 0; l < id.size(); ++l) place[static_cast<std::size_t>(id[l])] = static_cast<std::int32_t>(l);
    field.ids = std::move(present);
    field.id = make_grid<std::int32_t>(where, {L});
    field.place = make_grid<std::int32_t>(where, {all});
    put(where, id, field.id.view().data);
    put(where, place, field.place.view().data);
    bool mixes = false;
    for (auto const& k : kernels_) mixes = mixes || !is_potts(k);
    field.gain = make_grid<float>(where, {N * L});
    field.q = make_grid<float>(where, {N * L});
    field.force = make_grid<float>(where, {N * L});
    field.message = make_grid<float>(where, {mixes || exactly_ ? N * L : 0});
    if (!lattice_.empty()) {
      auto const largest = std::max_element(lattice_.begin(), lattice_.end(),
                                            [](auto const& a, auto const& b) { return a.points() < b.points(); });
      field.lattices = lattice_scratch<P>(where, *largest, L);
    } else if (exactly_) {
      field.lattices.values = make_grid<float>(where, {N * L});
    }
    index_t const cells[3] = {L, size_.height, size_.width};
    for_each_cell(where, cells, begin_gain<V, S>{in, field.id.view().data, L, field.gain.view().data});
    for_each_index(where, N, normalise_pixel{field.gain.view().data, L, field.q.view().data});
    return field;
  }

  /// One step of inference, or several. Allocates nothing.
  ///
  /// @throws precondition_error when another CRF began this inference
  /// @asynchrony gpu: enqueues and returns
  void step(P const& where, mean_field_on<P>& field, int count = 1) const
  {
    expects_own(field);
    for (int t = 0; t < count; ++t) {
      float const* const force = receive(where, field, field.gain.view().data);
      for_each_index(where, size_.height * size_.width, normalise_pixel{force, field.labels, field.q.view().data});
      ++field.steps;
    }
  }

  /// As dense_crf::divergence: KL(Q||P) up to log Z.
  /// @throws precondition_error when another CRF began this inference
  /// @determinism pixels are summed in a fixed tree, where the cpu sums one after the other: within 1e-12 of the sizes
  /// @asynchrony gpu: waits for the stream
  [[nodiscard]] double divergence(P const& where, mean_field_on<P>& field) const
  {
    expects_own(field);
    index_t const N = size_.height * size_.width;
    float const* const force = receive(where, field, nullptr);
    auto own = make_grid<float>(where, {kernels_.empty() ? 0 : N});
    for (std::size_t k = 0; k < kernels_.size(); ++k) {
      lattice_map const map = exactly_ ? lattice_map{} : lattice_[k].map();
      for_each_index(where, N,
                     share_of_pixel{map, exactly_ ? 1.f : lattice_[k].gain(), before(k), after(k), own.view().data});
      auto const weights = compat_[k].view();
      for_each_index(where, N * field.labels,
                     take_own_share{own.view().data, field.q.view().data,
                                    attraction{weights.data, weights.extent[0], kernels_[k].compat.matrix,
                                               field.id.view().data, field.labels, field.all},
                                    field.force.view().data});
    }
    auto sum = make_grid<double>(where, {1});
    workspace<P> space;
    reduce(where, size_.height * size_.width,
           divergence_of_pixel{field.q.view().data, field.gain.view().data, force, field.labels}, 0.0, plus{},
           sum.view().data, space);
    return read_cell(where, static_cast<double const*>(sum.view().data));
  }

 private:
  static bool is_potts(pairwise const& k) { return !k.compat.matrix && k.compat.weight.size() == 1; }

  void expects_room(index_t labels) const
  {
    double const needed = bytes_needed(size_, bands_, kernels_, labels);
    expects(needed <= most_bytes_, "dense_crf: an image of ", size_.height, " x ", size_.width, " with ", labels,
            " labels takes about ", std::ceil(needed / 1e8) / 10, " GB, more than the ", most_bytes_ / 1e9,
            " GB allowed; raise options.most_bytes or label it in tiles");
  }
  void expects_own(mean_field_on<P> const& field) const
  {
    expects(field.crf == number_, "dense_crf: the inference of another CRF, of ", field.size.height, " x ",
            field.size.width, " pixels and ", static_cast<index_t>(field.kernels), " kernels");
  }

  float const* before(std::size_t k) const
  {
    auto const by = kernels_[k].by;
    return by == kernel_norm::before || by == kernel_norm::symmetric ? factor_[k].view().data : nullptr;
  }
  float const* after(std::size_t k) const
  {
    auto const by = kernels_[k].by;
    return by == kernel_norm::after || by == kernel_norm::symmetric ? factor_[k].view().data : nullptr;
  }

  void sum_pairs(P const& where, std::size_t k, float const* in, index_t channels, float const* factor,
                 float* out) const
  {
    auto const features = exact_[k].view();
    index_t const N = features.extent[1], groups = (channels + sum_all_pairs::group - 1) / sum_all_pairs::group;
    for_each_index(where, N * groups,
                   sum_all_pairs{features.data, features.extent[0], N, in, channels, factor, channels, out});
  }

  /// Finds 1/d or 1/sqrt(d) of a kernel.
  void scale_kernel(P const& where, std::size_t k)
  {
    bool const scaled = kernels_[k].by != kernel_norm::none;
    index_t const N = scaled ? size_.height * size_.width : 0;
    float* const d = factor_.emplace_back(make_grid<float>(where, {N})).view().data;
    if (N == 0) return;
    if (exactly_) {
      sum_pairs(where, k, nullptr, 1, nullptr, d);
    } else {
      lattice_scratch<P> room(where, lattice_[k], 1);
      float const* const blurred = spread_and_blur(where, lattice_[k], nullptr, 0, nullptr, 1, false, room);
      for_each_index(where, N,
                     read_simplices{lattice_[k].map(), blurred, lattice_[k].gain(), nullptr, 1, nullptr, d, 1});
    }
    for_each_index(where, N, invert_sums{kernels_[k].by == kernel_norm::symmetric, d});
  }

  /// What all kernels take off the energies, on top of `below`, which may be null: 0. @return where, null for 0
  float const* receive(P const& where, mean_field_on<P>& field, float const* below) const
  {
    index_t const L = field.labels, cells = size_.height * size_.width * L;
    float const* const q = field.q.view().data;
    float *const force = field.force.view().data, *const message = field.message.view().data;
    for (std::size_t k = 0; k < kernels_.size(); ++k) {
      auto const& compat = kernels_[k].compat;
      bool const potts = is_potts(kernels_[k]);
      float const weight = potts ? static_cast<float>(compat.weight[0]) : 1.f;
      float const* const on = potts ? below : nullptr;
      float* const to = potts ? force : message;
      if (exactly_) {
        float* const summed = field.lattices.values.view().data;
        sum_pairs(where, k, q, L, before(k), summed);
        for_each_index(where, cells, add_pairs{summed, weight, after(k), L, on, to});
      } else {
        float const* const blurred = spread_and_blur(where, lattice_[k], q, L, before(k), L, false, field.lattices);
        for_each_index(where, cells,
                       read_simplices{lattice_[k].map(), blurred, lattice_[k].gain() * weight, after(k), L, on, to, L});
      }
      if (!potts)
        for_each_index(where, cells,
                       mix_labels{message, compat_[k].view().data, compat.matrix, field.id.view().data, L, field.all,
                                  below, force});
      below = force;
    }
    return below;
  }

  std::uint64_t number_ = number_of_crf();
  extent2 size_;
  index_t bands_ = 0;
  double most_bytes_ = 0;
  std::vector<pairwise> kernels_;
  bool exactly_ = false;
  std::vector<permutohedral_on<P>> lattice_;  // or, of exact kernels,
  std::vector<grid<float, 2, S>> exact_;      // their features
  std::vector<grid<float, 1, S>> factor_;     // per kernel [N]: 1/d or 1/sqrt(d)
  std::vector<grid<float, 1, S>> compat_;     // per kernel, its weights
};

template <class S>
struct place_marginals {
  float const* q;
  std::int32_t const* place;
  index_t labels;
  view<float, 3, S> out;

  CAMBIUM_HD void operator()(index_t l, index_t y, index_t x) const
  {
    out(l, y, x) = place[l] < 0 ? 0.f : q[(y * out.extent[2] + x) * labels + place[l]];
  }
};
template <class S>
struct choose_likeliest {
  float const* q;
  std::int32_t const* id;
  index_t labels;
  view<std::int32_t, 2, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    float const* const at = q + (y * out.extent[1] + x) * labels;
    index_t best = 0;
    for (index_t l = 1; l < labels; ++l)
      if (at[best] < at[l]) best = l;
    out(y, x) = id[best];
  }
};

/// marginals into memory of the caller's.
/// @param out  [all labels,H,W]
/// @throws     precondition_error: another shape
/// @asynchrony gpu: enqueues and returns
template <execution_policy P>
void marginals_into(P const& where, mean_field_on<P> const& field, view<float, 3, typename P::memory> out)
{
  expects(out.extent[0] == field.all && out.extent[1] == field.size.height && out.extent[2] == field.size.width,
          "marginals: out is ", out, " but the field has ", field.all, " labels of ", field.size.height, " x ",
          field.size.width);
  for_each_cell(where, out.extent,
                place_marginals<typename P::memory>{field.q.view().data, field.place.view().data, field.labels, out});
}

/// As marginals in dense_crf.hpp.
/// @return [L,H,W] in the memory of the policy
/// @asynchrony gpu: enqueues and returns
template <execution_policy P>
[[nodiscard]] grid<float, 3, typename P::memory> marginals(P const& where, mean_field_on<P> const& field)
{
  auto out = make_grid<float>(where, {field.all, field.size.height, field.size.width});
  marginals_into(where, field, out.view());
  return out;
}

/// likeliest into memory of the caller's.
/// @param out  [H,W]
/// @throws     precondition_error: another shape
/// @asynchrony gpu: enqueues and returns
template <execution_policy P>
void likeliest_into(P const& where, mean_field_on<P> const& field, view<std::int32_t, 2, typename P::memory> out)
{
  expects(out.extent[0] == field.size.height && out.extent[1] == field.size.width, "likeliest: out is ", out,
          " but the field is ", field.size.height, " x ", field.size.width);
  index_t const cells[3] = {1, out.extent[0], out.extent[1]};
  for_each_cell(where, cells,
                choose_likeliest<typename P::memory>{field.q.view().data, field.id.view().data, field.labels, out});
}

/// As likeliest in dense_crf.hpp.
/// @return [H,W] in the memory of the policy
/// @asynchrony gpu: enqueues and returns
template <execution_policy P>
[[nodiscard]] grid<std::int32_t, 2, typename P::memory> likeliest(P const& where, mean_field_on<P> const& field)
{
  auto out = make_grid<std::int32_t>(where, {field.size.height, field.size.width});
  likeliest_into(where, field, out.view());
  return out;
}

/// As infer in dense_crf.hpp: refine unary energies with a fully connected CRF.
///
/// @return the field after that many steps
/// @throws       precondition_error: see start; iterations negative
/// @determinism  the same bits on every run, and those of the cpu with isa::baseline: no product is fused, and the
///               exponential is the cpu's own. With exact kernels, rounding apart
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, stack_like U>
[[nodiscard]] mean_field_on<P> infer(P const& where, dense_crf_on<P> const& field, U const& unary,
                                     crf_options options = {})
{
  expects(options.iterations >= 0, "infer: iterations is ", options.iterations);
  auto state = field.start(where, unary, std::move(options.present));
  field.step(where, state, options.iterations);
  return state;
}

/// As refine_labels in dense_crf.hpp, with what unary_from_labels_into says of labels.
/// @return [H,W] in the memory of the policy
/// @asynchrony gpu: enqueues and returns
template <execution_policy P, image_like M>
[[nodiscard]] grid<std::int32_t, 2, typename P::memory> refine_labels(P const& where, dense_crf_on<P> const& field,
                                                                      M const& labels, index_t L,
                                                                      refine_labels_options options = {})
{
  auto const unary = unary_from_labels(where, labels, L, {.gt_prob = options.gt_prob});
  return likeliest(where, infer(where, field, unary, {.iterations = options.iterations}));
}

}  // namespace cambium
