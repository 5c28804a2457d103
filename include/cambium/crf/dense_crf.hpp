#pragma once

#include <cambium/core/error.hpp>
#include <cambium/crf/permutohedral.hpp>
#include <cambium/crf/unary.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// How a kernel's sums are brought to scale; d is the sum of a pixel's own kernel weights.
enum class kernel_norm {
  none,
  before,    ///< values times 1/d, then the filter
  after,     ///< the filter, then 1/d: a weighted mean
  symmetric  ///< 1/sqrt(d) on both sides: the package's default
};

/// What neighbours' labels do to a pixel's energies.
struct compatibility {
  compatibility(double potts = 1) : weight{potts} {}  // NOLINT: `.compat = 10`
  compatibility(std::vector<double> w, bool is_matrix) : weight(std::move(w)), matrix(is_matrix) {}

  std::vector<double> weight;  ///< one: what agreement takes off, for every label; L: for each label
  bool matrix = false;         ///< weight is [L,L]: energy of label l beside label m, symmetric

  /// Agreement on label l takes weight[l] off, as a single weight does: both attract. The common package, pydensecrf, reads
  /// a vector as energies instead: its compat=[3,3] repels. Weights copied from there change their sign; tables do not.
  static compatibility per_class(std::vector<double> w) { return {std::move(w), false}; }
  /// Label l beside label m costs energy[l * L + m]. A single weight w is -w on the diagonal.
  static compatibility table(std::vector<double> energy) { return {std::move(energy), true}; }
};

/// One Gaussian over positions, or over positions and colours, that ties pixels together.
struct pairwise {
  double sxy = 3;              ///< [pixels] standard deviation of positions
  double srgb = 0;             ///< [grey levels] standard deviation of colours; 0 leaves colours out
  compatibility compat = 3.0;  ///< weight of agreement
  kernel_norm by = kernel_norm::symmetric;
};

/// The published sets of kernels.
namespace crf_preset {
/// IRNet and most weak supervision since: label maps, 10 iterations.
inline std::vector<pairwise> irn()
{
  return {{.sxy = 3, .srgb = 0, .compat = 3.0}, {.sxy = 50, .srgb = 5, .compat = 10.0}};
}
/// DeepLab's test-time refinement of probabilities, 10 iterations.
inline std::vector<pairwise> deeplab()
{
  return {{.sxy = 1, .srgb = 0, .compat = 3.0}, {.sxy = 67, .srgb = 3, .compat = 4.0}};
}
/// The example of the common package.
inline std::vector<pairwise> standard()
{
  return {{.sxy = 3, .srgb = 0, .compat = 3.0}, {.sxy = 80, .srgb = 13, .compat = 10.0}};
}
}  // namespace crf_preset

/// Throws unless the kernels can be built on an image of so many bands.
inline void check_kernels(std::vector<pairwise> const& kernels, index_t bands)
{
  for (auto const& k : kernels) {
    auto const sxy = static_cast<float>(k.sxy), srgb = static_cast<float>(k.srgb);
    expects(sxy > 0 && std::isfinite(sxy), "dense_crf: sxy is ", k.sxy, "; it must be positive and finite, as a float");
    expects(srgb >= 0 && std::isfinite(srgb) && (srgb > 0 || k.srgb == 0), "dense_crf: srgb is ", k.srgb,
            "; it must be >= 0 and finite, as a float");
    expects(k.srgb == 0 || bands <= 6, "dense_crf: the image has ", bands, " bands; at most 6 enter a kernel");
    for (double const w : k.compat.weight) expects(std::isfinite(w), "dense_crf: compat is ", w);
  }
}

/// Throws unless every label that takes part is one of 0..all-1, and named once.
inline void check_present(std::vector<index_t> const& present, index_t all)
{
  std::vector<bool> seen(static_cast<std::size_t>(all), false);
  for (index_t const l : present) {
    expects(0 <= l && l < all, "dense_crf: label ", l, " takes part but there are ", all);
    expects(!seen[static_cast<std::size_t>(l)], "dense_crf: label ", l, " is named twice");
    seen[static_cast<std::size_t>(l)] = true;
  }
}

/// Throws unless the weights fit so many labels, and tables are symmetric.
inline void check_compatibilities(std::vector<pairwise> const& kernels, index_t all)
{
  for (auto const& k : kernels) {
    auto const n = static_cast<index_t>(k.compat.weight.size());
    expects(k.compat.matrix ? n == all * all : n == 1 || n == all, "dense_crf: compat has ", n,
            " weights but there are ", all, " labels");
    for (index_t l = 0; k.compat.matrix && l < all; ++l)
      for (index_t m = 0; m < l; ++m)
        expects(k.compat.weight[static_cast<std::size_t>(l * all + m)] ==
                    k.compat.weight[static_cast<std::size_t>(m * all + l)],
                "dense_crf: compat(", l, ",", m, ") is not compat(", m, ",", l, ")");
  }
}

/// What a pixel that gives `share` of its marginals takes off the energy of label l.
struct attraction {
  float const* weight;
  index_t weights;  ///< how many: 1, all, all * all
  bool matrix;
  std::int32_t const* id;  ///< [labels] which of all they are
  index_t labels, all;

  CAMBIUM_HD float operator()(float share, float const* q, index_t l) const
  {
    if (!matrix) return rounded_product(weight[weights == 1 ? 0 : id[l]], rounded_product(share, q[l]));
    float sum = 0;
    for (index_t m = 0; m < labels; ++m)
      sum -= rounded_product(weight[id[l] * all + id[m]], rounded_product(share, q[m]));
    return sum;
  }
};

/// The state of a mean-field inference: marginals of L labels at N pixels. Made by dense_crf::start.
struct mean_field {
  std::uint64_t crf = 0;                          ///< which dense_crf began it
  extent2 size;
  index_t labels = 0;                             ///< L, of those that take part
  index_t all = 0;                                ///< labels of the unary energies
  std::vector<index_t> ids;                       ///< [L] which of them take part
  index_t stride = 0;                             ///< of q: L, and what fills a register
  index_t steps = 0;                              ///< done so far
  cells_t<float> gain;                            ///< [N,stride] minus the unary energies
  cells_t<float> q;                               ///< [N,stride] marginals
  std::vector<std::vector<lattice_values>> held;  ///< per kernel and piece of channels: what the lattices hold of q,
  std::vector<std::vector<lattice_values>> next;  ///< and room for what they will hold
  std::vector<cells_t<float>> summed;             ///< per kernel [N,stride], of exact kernels
  enum { nothing, spread, blurred } holds = nothing;
};

/// A number for a dense_crf, and for its copies, that no other one of this process has: their lattices differ even where
/// their sizes do not.
inline std::uint64_t number_of_crf()
{
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

/// Turns 4 rows of 4 values into 4 columns.
[[gnu::always_inline]] inline void transpose_4x4(float const* from, index_t step, float* to, index_t to_step)
{
  pack<float, 4> const a = lanes_at<4>(from).v, b = lanes_at<4>(from + step).v, c = lanes_at<4>(from + 2 * step).v,
                       d = lanes_at<4>(from + 3 * step).v;
  pack<float, 4> const ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5),
                       ef = __builtin_shufflevector(a, b, 2, 6, 3, 7), gh = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  lanes_at<4>(to).v = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  lanes_at<4>(to + to_step).v = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  lanes_at<4>(to + 2 * to_step).v = __builtin_shufflevector(ef, gh, 0, 1, 4, 5);
  lanes_at<4>(to + 3 * to_step).v = __builtin_shufflevector(ef, gh, 2, 3, 6, 7);
}

/// Softmax over the labels of some pixels.
struct normalise_marginals {
  static constexpr int block = lattice_parts::granule;
  float const* force;  ///< [block,stride] minus energies
  float* q;            ///< [n,stride] marginals
  float* room;         ///< [stride,block]
  index_t n;
  index_t labels;
  index_t stride;  ///< 1, 2, or a multiple of 4

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(float));
    for (index_t i = 0; i < block; i += 4)
      for (index_t l = 0; stride % 4 == 0 && l < stride; l += 4)
        transpose_4x4(force + i * stride + l, stride, room + l * block + i, block);
    for (index_t i = 0; stride % 4 != 0 && i < block; ++i)
      for (index_t l = 0; l < stride; ++l) room[l * block + i] = force[i * stride + l];
    for (int first = 0; first < block; first += lanes) {
      float* const at = room + first;
      auto most = lanes_at<lanes>(at).v;
      for (index_t l = 1; l < labels; ++l) {
        auto const v = lanes_at<lanes>(at + l * block).v;
        most = v > most ? v : most;
      }
      pack<float, lanes> sum{};
      for (index_t l = 0; l < labels; ++l) {
        auto v = lanes_at<lanes>(at + l * block).v - most;
        exponential<lanes>(v);
        lanes_at<lanes>(at + l * block).v = v;
        sum += v;
      }
      for (index_t l = 0; l < labels; ++l) lanes_at<lanes>(at + l * block).v = lanes_at<lanes>(at + l * block).v / sum;
      for (index_t l = labels; l < stride; ++l) lanes_at<lanes>(at + l * block).v = pack<float, lanes>{};
    }
    index_t const whole = stride % 4 == 0 ? n / 4 * 4 : 0;
    for (index_t i = 0; i < whole; i += 4)
      for (index_t l = 0; l < stride; l += 4) transpose_4x4(room + l * block + i, block, q + i * stride + l, stride);
    for (index_t i = whole; i < n; ++i)
      for (index_t l = 0; l < stride; ++l) q[i * stride + l] = room[l * block + i];
  }
};

struct crf_build {
  double most_bytes = 8e9;  ///< an image that would take more is refused
  bool pad = false;         ///< as lattice_options: the package's quirk where pixels are no multiple of 4
  bool exact = false;  ///< sum over all pairs of pixels instead of the lattice: O(N^2), for images of a few thousand
};

/// A fully connected conditional random field over the pixels of one image, ready for inference: its kernels' lattices
/// are built once and serve any number of label sets.
///
/// Mean-field inference of P(x) ~ exp(-sum_i U_i(x_i) - sum_{i<j} sum_k compat_k(x_i,x_j) K_k(f_i,f_j)):
///
///   Q_i(l) ~ exp(-U_i(l) - sum_k sum_m compat_k(l,m) sum_j K_k(f_i,f_j) Q_j(m))
class dense_crf {
 public:
  /// Build the lattices of an image.
  ///
  /// @param where    cpu
  /// @param image    [H,W,B] colours of any arithmetic type, B <= 6: features are x/sxy, y/sxy, colour/srgb
  /// @param kernels  usually crf_preset::irn(); may be empty
  /// @param options  most_bytes = 8e9, pad = false, exact = false
  ///
  /// @throws       precondition_error: sxy not positive, srgb negative, either beyond a float, compat not finite, NaN
  ///               or infinite colours, features too far apart for a lattice (its own message), or an image whose
  ///               inference of two labels would take more than options.most_bytes, with the number; see bytes_needed
  /// @complexity   about 100 ns a pixel and 5-dimensional kernel
  /// @determinism  see marginals
  /// @source       Kraehenbuehl & Koltun, NIPS 2011; DenseCRF2D of pydensecrf, features in its order and type
  template <stack_like I>
  dense_crf(cpu const& where, I const& image, std::vector<pairwise> kernels, crf_build options = {})
      : kernels_(std::move(kernels))
  {
    auto const in = as_view<3>(image, "dense_crf: image");
    index_t const H = in.extent[0], W = in.extent[1], bands = in.extent[2], N = H * W;
    size_ = {H, W};
    parts_ = {N};
    most_bytes_ = options.most_bytes;
    if constexpr (std::is_floating_point_v<value_of<I, 3>>) expects_float(where, in, "dense_crf: image");
    check_kernels(kernels_, bands);
    bands_ = bands;
    expects_room(2);
    for (auto const& k : kernels_) {
      auto features = make_grid<float>({2 + (k.srgb > 0 ? bands : 0), H, W});
      auto const sxy = static_cast<float>(k.sxy), srgb = static_cast<float>(k.srgb);
      for_each_share(where, H, 64, [&](index_t begin, index_t end) {
        for (index_t y = begin; y < end; ++y)
          for (index_t x = 0; x < W; ++x) {
            features(0, y, x) = static_cast<float>(x) / sxy;
            features(1, y, x) = static_cast<float>(y) / sxy;
            for (index_t b = 2; b < features.shape()[0]; ++b)
              features(b, y, x) = static_cast<float>(in(y, x, b - 2)) / srgb;
          }
      });
      expects_finite(where, features.view(), "dense_crf: feature");
      if (options.exact)
        exact_.push_back(std::move(features));
      else
        lattice_.emplace_back(where, view<float const, 2>(features.data(), {features.shape()[0], N}),
                              lattice_options{options.pad});
    }
    for (std::size_t k = 0; k < kernels_.size(); ++k) scale_kernel(where, k);
  }

  /// About how many bytes an inference takes at its peak, lattices included.
  static double bytes_needed(extent2 size, index_t bands, std::vector<pairwise> const& kernels, index_t labels)
  {
    double const stride = static_cast<double>(padded(labels));
    double a_pixel = 4 * (static_cast<double>(labels) + 2 * stride);
    for (auto const& k : kernels) {
      double const D = k.srgb > 0 ? 2 + static_cast<double>(bands) : 2, slots = k.srgb > 0 ? 0.6 : 0.15;
      a_pixel += 12 * (D + 1) + 4 + slots * (5 * (D + 1) + 40 + 8 * stride);
    }
    return a_pixel * static_cast<double>(size.height) * static_cast<double>(size.width);
  }

  extent2 size() const { return size_; }
  std::vector<pairwise> const& kernels() const { return kernels_; }

  /// Begin an inference: the marginals are the softmax of minus the unary energies.
  ///
  /// @param where    cpu
  /// @param unary    [L,H,W] energies, L >= 1, finite
  /// @param present  the labels that take part, all if empty: the others have marginals of 0 and cost nothing
  ///
  /// @throws       precondition_error: another size, no labels, NaN, infinite, or beyond a float, energies, compat of
  ///               another number of labels or a table that is not symmetric, a label outside 0..L-1 or named twice, more
  ///               memory than crf_build::most_bytes
  template <stack_like U>
  [[nodiscard]] mean_field start(cpu const& where, U const& unary, std::vector<index_t> present = {}) const
  {
    auto const in = as_view<3>(unary, "dense_crf: unary");
    index_t const all = in.extent[0];
    if (present.empty()) {
      present.resize(static_cast<std::size_t>(all));
      std::iota(present.begin(), present.end(), index_t{0});
    }
    check_present(present, all);
    index_t const L = static_cast<index_t>(present.size());
    expects(all >= 1 && in.extent[1] == size_.height && in.extent[2] == size_.width, "dense_crf: unary is ", in,
            " but the image is ", size_.height, " x ", size_.width);
    expects_float(where, in, "dense_crf: unary");
    expects_room(L);
    check_compatibilities(kernels_, all);
    mean_field field;
    field.crf = number_, field.size = size_, field.labels = L, field.all = all, field.stride = padded(L);
    field.ids = std::move(present);
    auto const N = static_cast<std::size_t>(size_.height * size_.width);
    field.gain.assign(N * static_cast<std::size_t>(field.stride), 0);
    field.q.assign(N * static_cast<std::size_t>(field.stride), 0);
    field.held.resize(lattice_.size());
    field.next.resize(lattice_.size());
    field.summed.resize(exact_.size());
    for_each_share(where, size_.height, 16, [&](index_t begin, index_t end) {
      for (index_t y = begin; y < end; ++y)
        for (index_t l = 0; l < L; ++l)
          for (index_t x = 0; x < size_.width; ++x)
            field.gain[static_cast<std::size_t>((y * size_.width + x) * field.stride + l)] =
                -static_cast<float>(in(field.ids[static_cast<std::size_t>(l)], y, x));
    });
    update(where, field, false, true);
    return field;
  }

  /// One step of inference, or several.
  /// @throws precondition_error when another CRF began this inference
  void step(cpu const& where, mean_field& field, int count = 1) const
  {
    expects_own(field);
    for (int t = 0; t < count; ++t) {
      gather(where, field);
      update(where, field, true, t + 1 < count);
      ++field.steps;
    }
  }

  /// KL(Q||P) up to the constant log Z, of the distribution above with (K_ij + K_ji) / 2 for each pair of pixels:
  ///
  ///   sum_i sum_l Q_i(l) (log Q_i(l) + U_i(l)) + 1/2 sum_i sum_{j!=i} sum_k K_k(i,j) sum_lm compat_k(l,m) Q_i(l) Q_j(m)
  ///
  /// The steps need not bring it down: they change all pixels at once and, as the package's, count each pixel among its
  /// own neighbours, which P does not.
  ///
  /// @throws     precondition_error when another CRF began this inference
  /// @complexity a step, and for each kernel own_shares: of five dimensions that takes as long as some hundred steps
  [[nodiscard]] double divergence(cpu const& where, mean_field& field) const
  {
    expects_own(field);
    gather(where, field);
    std::vector<cells_t<float>> own;  // of each kernel: what a pixel gives itself
    for (std::size_t k = 0; k < kernels_.size(); ++k) {
      own.push_back(exact_.empty() ? own_shares(where, lattice_[k])
                                   : cells_t<float>(static_cast<std::size_t>(parts_.positions), 1.f));
      for (std::size_t i = 0; i < factor_[k].size(); ++i) {
        if (scales_before(k)) own[k][i] = rounded_product(own[k][i], factor_[k][i]);
        if (scales_after(k)) own[k][i] = rounded_product(own[k][i], factor_[k][i]);
      }
    }
    std::vector<std::int32_t> const id(field.ids.begin(), field.ids.end());
    std::vector<std::vector<float>> weight;
    std::vector<attraction> by;
    for (auto const& k : kernels_) {  // `weight` may grow: its vectors move, their elements do not
      auto const& w = weight.emplace_back(k.compat.weight.begin(), k.compat.weight.end());
      by.push_back({w.data(), static_cast<index_t>(w.size()), k.compat.matrix, id.data(), field.labels, field.all});
    }
    index_t const stride = field.stride;
    std::vector<float> const none(static_cast<std::size_t>(stride), 0.f);
    std::vector<float> force(none.size()), message(none.size());
    double sum = 0;  // one thread: the order of a sum is part of its value
    for (index_t i = 0, part = 0; i < parts_.positions; ++i) {
      part += i == parts_.begin(part + 1);
      receive(vectors_of(where), field, part, i, 1, none.data(), force.data(), message.data());
      for (index_t l = 0; l < field.labels; ++l) {
        double const p = static_cast<double>(field.q[static_cast<std::size_t>(i * stride + l)]);
        float const* const q = &field.q[static_cast<std::size_t>(i * stride)];
        for (std::size_t k = 0; k < by.size(); ++k)
          force[static_cast<std::size_t>(l)] -= by[k](own[k][static_cast<std::size_t>(i)], q, l);
        double const energy = -static_cast<double>(field.gain[static_cast<std::size_t>(i * stride + l)]);
        if (p > 0) sum += p * (std::log(p) + energy - static_cast<double>(force[static_cast<std::size_t>(l)]) / 2);
      }
    }
    return sum;
  }

 private:
  /// Finite, and not beyond what a float holds.
  template <class T>
  static void expects_float(cpu const& where, stack_view<T const> v, char const* what)
  {
    if constexpr (sizeof(T) > sizeof(float))
      expects_inside(where, v, -T(std::numeric_limits<float>::max()), T(std::numeric_limits<float>::max()), what,
                     "a finite number that a float holds");
    else
      expects_finite(where, v, what);
  }
  void expects_room(index_t labels) const
  {
    double const needed = bytes_needed(size_, bands_, kernels_, labels);
    expects(needed <= most_bytes_, "dense_crf: an image of ", size_.height, " x ", size_.width, " with ", labels,
            " labels takes about ", std::ceil(needed / 1e8) / 10, " GB, more than the ", most_bytes_ / 1e9,
            " GB allowed; raise options.most_bytes or label it in tiles");
  }
  void expects_own(mean_field const& field) const
  {
    expects(field.crf == number_, "dense_crf: the inference of another CRF, of ", field.size.height, " x ",
            field.size.width, " pixels and ", static_cast<index_t>(field.held.size() + field.summed.size()),
            " kernels");
  }

  static index_t padded(index_t labels) { return labels <= 2 ? labels : (labels + 3) / 4 * 4; }
  bool scales_before(std::size_t k) const
  {
    return kernels_[k].by == kernel_norm::before || kernels_[k].by == kernel_norm::symmetric;
  }
  bool scales_after(std::size_t k) const
  {
    return kernels_[k].by == kernel_norm::after || kernels_[k].by == kernel_norm::symmetric;
  }

  /// Finds 1/d or 1/sqrt(d) of a kernel.
  void scale_kernel(cpu const& where, std::size_t k)
  {
    auto& factor = factor_.emplace_back();
    if (kernels_[k].by == kernel_norm::none) return;
    float const one = 1;
    isa const set = vectors_of(where);
    factor.assign(static_cast<std::size_t>(parts_.positions), 0);
    lattice_values room;
    if (exact_.empty()) {
      make_room<1>(lattice_[k], room);
      for_each_part(where, parts_, [&](index_t p, index_t first, index_t n) {
        clear_part<1>(lattice_[k], p, room);
        spread_some<1>(set, lattice_[k], p, first, n, &one, 0, nullptr, room);
      });
      blur<1>(where, lattice_[k], false, room);
    } else {
      sum_pairs(where, k, 1, &one, 0, nullptr, factor.data());
    }
    for_each_part(where, parts_, [&](index_t p, index_t first, index_t n) {
      float* const f = factor.data() + first;
      if (exact_.empty()) read_some<1>(set, lattice_[k], p, first, n, room, 1, nullptr, f, f, 1);
      for (index_t i = 0; i < n; ++i)
        f[i] = kernels_[k].by == kernel_norm::symmetric ? 1.f / std::sqrt(f[i] + 1e-20f) : 1.f / (f[i] + 1e-20f);
    });
  }

  /// The kernel itself, pair by pair, for `channels` values: out[i] = sum over j of K(f_i,f_j) in[j] factor[j].
  void sum_pairs(cpu const& where, std::size_t k, index_t channels, float const* in, index_t step, float const* factor,
                 float* out) const
  {
    auto const& f = exact_[k];
    index_t const D = f.shape()[0], N = parts_.positions;
    for_each_share(where, N, 16, [&](index_t begin, index_t end) {
      std::vector<double> sum(static_cast<std::size_t>(channels));
      for (index_t i = begin; i < end; ++i) {
        std::fill(sum.begin(), sum.end(), 0.0);
        for (index_t j = 0; j < N; ++j) {
          double distance = 0;
          for (index_t d = 0; d < D; ++d) {
            double const apart = static_cast<double>(f.data()[d * N + i]) - static_cast<double>(f.data()[d * N + j]);
            distance += apart * apart;
          }
          double const weight = std::exp(-distance / 2) * (factor != nullptr ? static_cast<double>(factor[j]) : 1.0);
          for (index_t c = 0; c < channels; ++c)
            sum[static_cast<std::size_t>(c)] += weight * static_cast<double>(in[j * step + c]);
        }
        std::copy(sum.begin(), sum.end(), out + i * channels);
      }
    });
  }

  float const* before(std::size_t k) const { return scales_before(k) ? factor_[k].data() : nullptr; }

  /// Makes room on every lattice for a field's values.
  void make_rooms(mean_field const& field, std::vector<std::vector<lattice_values>>& rooms) const
  {
    for (std::size_t k = 0; k < lattice_.size(); ++k) {
      std::size_t piece = 0;
      for_each_width(field.stride, [&]<int Width>(std::integral_constant<int, Width>, index_t) {
        if (rooms[k].size() <= piece) rooms[k].emplace_back();
        make_room<Width>(lattice_[k], rooms[k][piece++]);
      });
    }
  }
  void clear_parts(mean_field const& field, index_t part, std::vector<std::vector<lattice_values>>& rooms) const
  {
    for (std::size_t k = 0; k < lattice_.size(); ++k) {
      std::size_t piece = 0;
      for_each_width(field.stride, [&]<int Width>(std::integral_constant<int, Width>, index_t) {
        clear_part<Width>(lattice_[k], part, rooms[k][piece++]);
      });
    }
  }

  /// Spreads the marginals of n pixels of a part onto every lattice.
  void spread_marginals(isa set, mean_field const& field, index_t part, index_t first, index_t n,
                        std::vector<std::vector<lattice_values>>& rooms) const
  {
    float const* const q = field.q.data() + first * field.stride;
    for (std::size_t k = 0; k < lattice_.size(); ++k) {
      float const* const factor = scales_before(k) ? factor_[k].data() + first : nullptr;
      std::size_t piece = 0;
      for_each_width(field.stride, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
        spread_some<Width>(set, lattice_[k], part, first, n, q + c, field.stride, factor, rooms[k][piece++]);
      });
    }
  }

  /// Brings the kernels' sums of the marginals up to date.
  void gather(cpu const& where, mean_field& field) const
  {
    if (field.holds == mean_field::nothing) {
      make_rooms(field, field.held);
      for_each_part(where, parts_, [&](index_t part, index_t first, index_t n) {
        clear_parts(field, part, field.held);
        spread_marginals(vectors_of(where), field, part, first, n, field.held);
      });
      for (std::size_t k = 0; k < exact_.size(); ++k) {
        field.summed[k].resize(field.q.size());
        sum_pairs(where, k, field.stride, field.q.data(), field.stride, before(k), field.summed[k].data());
      }
    }
    if (field.holds != mean_field::blurred)
      for (std::size_t k = 0; k < lattice_.size(); ++k) {
        std::size_t piece = 0;
        for_each_width(field.stride, [&]<int Width>(std::integral_constant<int, Width>, index_t) {
          blur<Width>(where, lattice_[k], false, field.held[k][piece++]);
        });
      }
    field.holds = mean_field::blurred;
  }

  /// What all kernels take off the energies of n pixels of a part, on top of `gain`: all are [n,stride].
  void receive(isa set, mean_field const& field, index_t part, index_t first, index_t n, float const* gain,
               float* force, float* message) const
  {
    index_t const stride = field.stride, L = field.labels;
    float const* below = gain;  // what the next kernel adds to: force itself, once it holds something
    auto const settle = [&] {
      if (below != force) std::copy_n(gain, n * stride, force);
      below = force;
    };
    auto const id = [&](index_t l) { return field.ids[static_cast<std::size_t>(l)]; };
    for (std::size_t k = 0; k < kernels_.size(); ++k) {
      auto const& compat = kernels_[k].compat;
      bool const potts = !compat.matrix && compat.weight.size() == 1;
      if (!potts || !exact_.empty()) settle();
      float* const to = potts ? force : message;
      float const* const on = potts ? below : message;
      float const weight = potts ? static_cast<float>(compat.weight[0]) : 1.f;
      float const* const factor = scales_after(k) ? &factor_[k][static_cast<std::size_t>(first)] : nullptr;
      if (!potts) std::fill_n(message, n * stride, 0.f);
      if (!exact_.empty()) {
        for (index_t i = 0; i < n * stride; ++i)
          to[i] += weight * (factor != nullptr ? factor[i / stride] : 1.f) *
                   field.summed[k][static_cast<std::size_t>(first * stride + i)];
      } else {
        std::size_t piece = 0;
        for_each_width(stride, [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
          read_some<Width>(set, lattice_[k], part, first, n, field.held[k][piece++], weight, factor, on + c, to + c,
                           stride);
        });
      }
      below = force;
      if (potts) continue;
      for (index_t i = 0; i < n; ++i)
        for (index_t l = 0; l < L; ++l) {
          float& taken = force[i * stride + l];
          if (compat.matrix)
            for (index_t m = 0; m < L; ++m)
              taken -= static_cast<float>(compat.weight[static_cast<std::size_t>(id(l) * field.all + id(m))]) *
                       message[i * stride + m];
          else
            taken += static_cast<float>(compat.weight[static_cast<std::size_t>(id(l))]) * message[i * stride + l];
        }
    }
    settle();
  }

  /// New marginals; where another step follows they are spread while they are at hand.
  void update(cpu const& where, mean_field& field, bool with_messages, bool go_on) const
  {
    constexpr index_t block = normalise_marginals::block;
    index_t const stride = field.stride;
    isa const set = vectors_of(where);
    bool const spread = go_on && exact_.empty();
    if (spread) make_rooms(field, field.next);
    for_each_part(where, parts_, [&](index_t part, index_t begin, index_t count) {
      auto const size = static_cast<std::size_t>(stride * block);
      std::vector<float> force(size), message(size), room(size);
      if (spread) clear_parts(field, part, field.next);
      for (index_t first = begin; first < begin + count; first += block) {
        index_t const n = std::min<index_t>(block, begin + count - first);
        float const* const gain = &field.gain[static_cast<std::size_t>(first * stride)];
        if (with_messages) receive(set, field, part, first, n, gain, force.data(), message.data());
        if (!with_messages) std::copy_n(gain, n * stride, force.data());
        run_widest(set, normalise_marginals{force.data(), &field.q[static_cast<std::size_t>(first * stride)],
                                            room.data(), n, field.labels, stride});
        if (spread) spread_marginals(set, field, part, first, n, field.next);
      }
    });
    if (spread) std::swap(field.held, field.next);
    field.holds = spread ? mean_field::spread : mean_field::nothing;
  }

  std::uint64_t number_ = number_of_crf();
  extent2 size_;
  lattice_parts parts_;  // of the pixels
  index_t bands_ = 0;
  double most_bytes_ = 0;
  std::vector<pairwise> kernels_;
  std::vector<permutohedral> lattice_;  // or, of exact kernels,
  std::vector<grid<float, 3>> exact_;   // their features
  std::vector<cells_t<float>> factor_;  // per kernel [N]: 1/d or 1/sqrt(d)
};

/// The marginals of an inference in the label space of its unary energies.
/// @return [L,H,W] each in [0,1], their sum 1 up to rounding; 0 for labels that take no part
[[nodiscard]] inline grid<float, 3> marginals(mean_field const& field)
{
  index_t const H = field.size.height, W = field.size.width;
  grid<float, 3> out(field.all, H, W);
  for (index_t l = 0; l < field.labels; ++l) {
    float* const to = out.data() + field.ids[static_cast<std::size_t>(l)] * H * W;
    for (index_t i = 0; i < H * W; ++i) to[i] = field.q[static_cast<std::size_t>(i * field.stride + l)];
  }
  return out;
}

/// The most probable label of each pixel, in the label space of the unary energies; of equal ones the first that takes part.
/// @return [H,W]
[[nodiscard]] inline grid<std::int32_t, 2> argmax_labels(mean_field const& field)
{
  auto out = make_grid<std::int32_t>({field.size.height, field.size.width});
  for (std::size_t i = 0; i < out.cells().size(); ++i) {
    float const* const q = &field.q[i * static_cast<std::size_t>(field.stride)];
    out.cells()[i] =
        static_cast<std::int32_t>(field.ids[static_cast<std::size_t>(std::max_element(q, q + field.labels) - q)]);
  }
  return out;
}

struct crf_options {
  int iterations = 10;
  std::vector<index_t> present{};  ///< the labels that take part; all if empty
};

/// Refine unary energies with a fully connected CRF.
///
/// @param where    cpu
/// @param field    built once for an image; any number of energies may follow
/// @param unary    [L,H,W] energies, from unary_from_labels and its like
/// @param options  iterations = 10, present = all
/// @return the field after that many steps: marginals() and argmax_labels() read it, step() goes on
///
/// @throws       precondition_error: see start; iterations negative
/// @complexity   a step takes about 25 ns a pixel and label on one core; O(N * L) memory beside the lattices
/// @determinism  the same bits on every run and for every number of threads; between instruction sets and compilers up to
///               contraction, which inference may amplify to about 1e-4 of a marginal
/// @source       DenseCRF::inference of pydensecrf
template <stack_like U>
[[nodiscard]] mean_field infer(cpu const& where, dense_crf const& field, U const& unary, crf_options options = {})
{
  expects(options.iterations >= 0, "infer: iterations is ", options.iterations);
  auto state = field.start(where, unary, std::move(options.present));
  field.step(where, state, options.iterations);
  return state;
}

struct refine_labels_options {
  double gt_prob = 0.7;  ///< how likely a label is right before
  int iterations = 10;
};

/// Refine a label map with a fully connected CRF.
///
/// @param where    cpu
/// @param field    of the image
/// @param labels   [H,W] 0..L-1
/// @param L        number of labels that may be; those that do not occur cost time and can win
/// @param options  gt_prob = 0.7, iterations = 10
/// @return [H,W] 0..L-1
///
/// @throws       precondition_error: see unary_from_labels and infer
/// @source       crf_inference_label, misc/imutils.py of jiwoon-ahn/irn
template <image_like M>
[[nodiscard]] grid<std::int32_t, 2> refine_labels(cpu const& where, dense_crf const& field, M const& labels, index_t L,
                                                  refine_labels_options options = {})
{
  auto const unary = unary_from_labels(where, labels, L, {.gt_prob = options.gt_prob});
  return argmax_labels(infer(where, field, unary, {.iterations = options.iterations}));
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


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
      double const D = k.srgb > 0 ? 2 + static_cast<double>(bands) : 2, share = k.srgb > 0 ? 0.6 : 0.15;
      bool const mixes = k.compat.matrix || k.compat.weight.size() > 1;
      kept += 12 * (D + 1) + 4 + share * (4 + 8 * (D + 1));
      building = std::max(building, 4 * D + 80 * (D + 1));
      inferring = std::max(inferring, 8 * L * share + (mixes ? 4 * L : 0));
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

/// argmax_labels into memory of the caller.
/// @param out  [H,W]
/// @throws     precondition_error: another shape
/// @asynchrony gpu: enqueues and returns
template <execution_policy P>
void likeliest_into(P const& where, mean_field_on<P> const& field, view<std::int32_t, 2, typename P::memory> out)
{
  expects(out.extent[0] == field.size.height && out.extent[1] == field.size.width, "argmax_labels: out is ", out,
          " but the field is ", field.size.height, " x ", field.size.width);
  index_t const cells[3] = {1, out.extent[0], out.extent[1]};
  for_each_cell(where, cells,
                choose_likeliest<typename P::memory>{field.q.view().data, field.id.view().data, field.labels, out});
}

/// As argmax_labels in dense_crf.hpp.
/// @return [H,W] in the memory of the policy
/// @asynchrony gpu: enqueues and returns
template <execution_policy P>
[[nodiscard]] grid<std::int32_t, 2, typename P::memory> argmax_labels(P const& where, mean_field_on<P> const& field)
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
  return argmax_labels(where, infer(where, field, unary, {.iterations = options.iterations}));
}

}  // namespace cambium
