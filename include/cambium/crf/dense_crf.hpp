#pragma once

#include <cambium/core/error.hpp>
#include <cambium/crf/dense_crf_rules.hpp>
#include <cambium/crf/filter.hpp>
#include <cambium/crf/kept_lattices.hpp>
#include <cambium/crf/kernels.hpp>
#include <cambium/crf/mean_field.hpp>
#include <cambium/crf/mean_field_cores.hpp>
#include <cambium/crf/own_shares.hpp>
#include <cambium/crf/unary.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace cambium {

struct crf_build {
  double most_bytes = 8e9;  ///< an image that would take more is refused
  bool pad = false;         ///< as lattice_options: what the package does if the number of pixels is no multiple of 4
  bool exact = false;  ///< sum over all pairs of pixels instead of the lattice: O(N^2), for images of a few thousand
};

struct divergence_options {
  bool package = false;  ///< klDivergence of pydensecrf: each pair counts twice, and each pixel counts with itself
};

/// A fully connected conditional random field over the pixels of one image, ready for inference: its kernels' lattices
/// are built once and serve any number of label sets.
///
/// Mean-field inference of P(x) ~ exp(-sum_i U_i(x_i) - sum_{i<j} sum_k compat_k(x_i,x_j) K_k(f_i,f_j)):
///
///   Q_i(l) ~ exp(-U_i(l) - sum_k sum_m compat_k(l,m) sum_j K_k(f_i,f_j) Q_j(m))
template <execution_policy P = cpu>
class dense_crf {
 public:
  using S = typename P::memory;

  /// Build the lattices of an image.
  ///
  /// @param where    where to run; must reach the memory of the image
  /// @param image    [H,W,B] colours of any arithmetic type, B <= 6: features are x/sxy, y/sxy, colour/srgb
  /// @param kernels  usually crf_preset::irn(); may be empty
  /// @param options  most_bytes = 8e9, pad = false, exact = false
  /// @param kept     if given, keeps the lattices that depend on positions only, for other images of this size. Only on
  ///                 the cpu
  ///
  /// @throws       precondition_error: sxy not positive, srgb negative, either beyond a float, compat not finite, NaN
  ///               or infinite colours, features too far apart for a lattice (its own message), or an image whose
  ///               inference of two labels would take more than options.most_bytes, with the number; see bytes_needed;
  ///               gpu_error
  /// @complexity   cpu: about 100 ns a pixel and 5-dimensional kernel; gpu: a sort of the corners of all pixels for
  ///               each kernel
  /// @determinism  exact; see infer
  /// @asynchrony   gpu: waits for the stream twice a kernel, see permutohedral, and cannot check colours, but a lattice
  ///               refuses features that are not finite. With exact kernels nothing is checked
  /// @source       Kraehenbuehl & Koltun, NIPS 2011; DenseCRF2D of pydensecrf, features in its order and type
  template <stack_like I>
    requires reaches<P, space_of<I, 3>>
  dense_crf(P const& where, I const& image, std::vector<pairwise> const& kernels, crf_build options = {},
            kept_lattices<P>* kept = nullptr)
      : options_(options)
  {
    using V = value_of<I, 3>;
    view<V const, 3, S> const in = as_view<3>(image, "dense_crf: image");
    index_t const H = in.extent[0], W = in.extent[1], bands = in.extent[2];
    size_ = {H, W};
    if constexpr (std::is_same_v<P, cpu> && std::is_floating_point_v<V>) expects_float(where, in, "dense_crf: image");
    expects_kernels(kernels, bands);
    ties_ = crf_ties(kernels, bands);
    expects_room(2);
    for (auto const& k : kernels) {
      auto const sxy = static_cast<float>(k.sxy), srgb = static_cast<float>(k.srgb);
      tie(where,
          k.srgb == 0 ? sums_of_positions(where, sxy, sxy, k.by, kept)
                      : sums_of(where, in, k.features(bands), sxy, sxy, srgb, k.by),
          k.compat, k.by);
    }
  }

  /// A CRF over the pixels of an image of this size, without kernels. add() adds kernels over features of any kind.
  ///
  /// @throws precondition_error: a negative size
  dense_crf(P const&, extent2 size, crf_build options = {}) : size_(size), options_(options)
  {
    expects(size.height >= 0 && size.width >= 0, "dense_crf: the size is ", size.height, " x ", size.width);
  }

  /// Add a kernel. An inference that has begun must restart().
  ///
  /// @param where     where to run; must reach the memory of the features
  /// @param features  [D,H * W] coordinates of the pixels, row by row, in standard deviations; D is 1..8
  /// @param compat    what neighbours' labels do to energies
  /// @param by        how sums are normalised
  ///
  /// @throws       precondition_error: another number of pixels, compat not finite, more memory than
  ///               crf_build::most_bytes, and what a lattice refuses
  /// @determinism  exact
  /// @asynchrony   gpu: waits for the stream twice, see permutohedral
  /// @source       DenseCRF::addPairwiseEnergy of pydensecrf
  template <image_like F>
    requires reaches<P, space_of<F, 2>>
  void add(P const& where, F const& features, compatibility compat, kernel_norm by = kernel_norm::symmetric)
  {
    view<float const, 2, S> const in = as_view<2>(features, "dense_crf: features");
    expects(in.extent[1] == size_.height * size_.width, "dense_crf: features are ", in, " but there are ",
            size_.height * size_.width, " pixels");
    expects(1 <= in.extent[0] && in.extent[0] <= 8, "dense_crf: features are ", in, "; expected 1 to 8 for each pixel");
    expects_finite_weights(compat);
    if constexpr (std::is_same_v<P, cpu>)
      expects_finite(where, view<float const, 3>(in.data, {1, in.extent[0], in.extent[1]}), "dense_crf: features");
    add_tie({in.extent[0], compat}, [&] {
      auto ordered = make_grid<float>(where, {in.extent[0], in.extent[1]});
      for_each_pixel(where, {size_}, in.extent[0], rule::order_features<S>{in, size_.width, ordered.view().data});
      tie(where, sums_of(where, std::move(ordered), by), compat, by);
    });
  }

  /// Add a kernel over positions, as add with features x/sx and y/sy.
  ///
  /// @param sx, sy  [pixels] standard deviations, finite and not 0
  /// @param kept    if given, keeps the lattice for other images of this size. Only on the cpu
  ///
  /// @throws       precondition_error: sx or sy, compat not finite, more memory than crf_build::most_bytes, and what a
  ///               lattice refuses
  /// @determinism  the same bits as add, whether the lattice was kept or not
  void add_positions(P const& where, float sx, float sy, compatibility compat, kernel_norm by = kernel_norm::symmetric,
                     kept_lattices<P>* kept = nullptr)
  {
    for (float const s : {sx, sy})
      expects(std::isfinite(s) && s != 0, "dense_crf: sx or sy is ", s, "; it must be finite and not 0");
    expects_finite_weights(compat);
    add_tie({2, compat}, [&] { tie(where, sums_of_positions(where, sx, sy, by, kept), compat, by); });
  }

  /// About how many bytes an inference takes at its peak, lattices included. On a device this is the larger of an
  /// inference's peak and that of building a lattice.
  static double bytes_needed(extent2 size, index_t bands, std::vector<pairwise> const& kernels, index_t labels)
  {
    return crf_bytes_needed<P>(size, crf_ties(kernels, bands), labels);
  }

  extent2 size() const { return size_; }
  std::size_t kernels() const { return built_.size(); }  ///< how many

  /// Begin an inference: the marginals are the softmax of minus the unary energies.
  ///
  /// @param where    where to run; must reach the memory of the energies
  /// @param unary    [L,H,W] energies, L >= 1, finite
  /// @param present  the labels that take part, all if empty: the others have marginals of 0 and cost nothing
  ///
  /// @throws       precondition_error: another size, no labels, NaN, infinite, or beyond a float, energies, compat of
  ///               another number of labels or a table that is not symmetric, a label outside 0..L-1 or named twice,
  ///               more memory than crf_build::most_bytes
  /// @asynchrony   gpu: enqueues and returns, and cannot check the energies: a NaN or an infinity spreads as far as the
  ///               kernels reach
  template <stack_like U>
    requires reaches<P, space_of<U, 3>>
  [[nodiscard]] mean_field<P> start(P const& where, U const& unary, std::vector<index_t> present = {}) const
  {
    mean_field<P> field = prepare(where, unary, std::move(present));
    restart(where, field);
    return field;
  }

  /// As start, without marginals: restart() makes them, after kernels were added.
  template <stack_like U>
    requires reaches<P, space_of<U, 3>>
  [[nodiscard]] mean_field<P> prepare(P const& where, U const& unary, std::vector<index_t> present = {}) const
  {
    using V = value_of<U, 3>;
    view<V const, 3, S> const in = as_view<3>(unary, "dense_crf: unary");
    index_t const all = in.extent[0], N = size_.height * size_.width;
    if (present.empty()) {
      present.resize(static_cast<std::size_t>(all));
      std::iota(present.begin(), present.end(), index_t{0});
    }
    expects_present(present, all);
    index_t const L = static_cast<index_t>(present.size());
    expects(all >= 1 && in.extent[1] == size_.height && in.extent[2] == size_.width, "dense_crf: unary is ", in,
            " but the image is ", size_.height, " x ", size_.width);
    if constexpr (std::is_same_v<P, cpu>) expects_float(where, in, "dense_crf: unary");
    expects_room(L);
    std::vector<std::int32_t> const id(present.begin(), present.end());
    std::vector<std::int32_t> place(static_cast<std::size_t>(all), -1);
    for (std::size_t l = 0; l < id.size(); ++l) place[static_cast<std::size_t>(id[l])] = static_cast<std::int32_t>(l);
    mean_field<P> field;
    field.crf = id_, field.size = size_;
    field.labels = L, field.all = all;
    field.id = to_memory(where, id);
    field.place = to_memory(where, place);
    field.gain = make_grid<float>(where, {N * L});
    planes_to_rows(where, {size_}, in, field.id.view().data, L, field.gain.view().data);
    return field;
  }

  /// Begin an inference again with the same energies and all kernels that there are now.
  /// @throws precondition_error: see start
  /// @asynchrony gpu: enqueues and returns
  void restart(P const& where, mean_field<P>& field) const
  {
    make_ready(where, field);
    start_on(where, built_, field);
  }

  /// Go on from other marginals, which the caller writes to field.q: [N,labels], pixels in pixel_order.
  /// @throws precondition_error: see start
  /// @asynchrony gpu: enqueues and returns
  template <class Write>
  void restart_at(P const& where, mean_field<P>& field, Write const& write) const
  {
    make_ready(where, field);
    write(field.q.view());
  }

  /// One step of inference, or several. On a device it allocates nothing.
  /// @throws precondition_error when another CRF began this inference, or a kernel was added since; stopped, after
  ///         which the inference needs restart()
  /// @asynchrony gpu: enqueues and returns
  void step(P const& where, mean_field<P>& field, int count = 1) const
  {
    expects_own(field);
    step_on(where, built_, field, count);
    field.steps += std::max(0, count);
  }

  /// KL(Q||P) up to the constant log Z, of the distribution above with (K_ij + K_ji) / 2 for each pair of pixels:
  ///
  ///   sum_i sum_l Q_i(l) (log Q_i(l) + U_i(l))
  ///     + 1/2 sum_i sum_{j!=i} sum_k K_k(i,j) sum_lm compat_k(l,m) Q_i(l) Q_j(m)
  ///
  /// A step may raise it: steps change all pixels at once and, like the package's, count each pixel among its own
  /// neighbours. P does not.
  ///
  /// @param options  package = false
  /// @throws       precondition_error when another CRF began this inference, or a kernel was added since
  /// @complexity   a step, and own_shares for each kernel, which in five dimensions takes as long as some hundred
  ///               steps. The package's formula needs no own_shares
  /// @determinism  the same bits on every run: pixels are summed in the order of reduce's tree
  /// @asynchrony   gpu: waits for the stream
  [[nodiscard]] double divergence(P const& where, mean_field<P>& field, divergence_options options = {}) const
  {
    expects_own(field);
    index_t const N = field.pixels();
    float* const force = energies_taken(where, built_, field);
    float const* const q = field.q.view().data;
    for (auto const& k : built_) {
      if (options.package) break;
      auto own = std::visit([&](auto const& filter) { return own_shares(where, filter); }, k.filter());
      float* const share = own.view().data;
      for_each_index(where, N, rule::scale_share{k.before(), k.after(), share});
      for_each_index(where, N * field.labels, rule::take_own_share{share, q, field.compat(k), force});
    }
    auto sum = make_grid<double>(where, {1});
    workspace<P> space;
    reduce(where, N,
           rule::divergence_of_pixel{q, field.gain.view().data, force, field.labels, options.package ? 1 : 0.5}, 0.0,
           plus{}, sum.view().data, space);
    return read_cell(where, static_cast<double const*>(sum.view().data));
  }

 private:
  /// Finite, and not beyond a float's range.
  template <class T>
  static void expects_float(cpu const& where, stack_view<T const> v, char const* what)
  {
    if constexpr (sizeof(T) > sizeof(float))
      expects_inside(where, v, -T(std::numeric_limits<float>::max()), T(std::numeric_limits<float>::max()), what,
                     "a finite number that a float holds");
    else
      expects_finite(where, v, what);
  }
  /// Throw unless features in this order are finite; the message has the pixel.
  static void expects_finite_features(cpu const& where, grid<float, 2> const& features, pixel_order order)
  {
    index_t const D = features.shape()[0];
    auto const [H, W] = order.size;
    try {
      expects_finite(where, features.view(), "");
    } catch (precondition_error const&) {
      auto rows = make_grid<float>({D, H, W});
      for_each_pixel(where, order, D,
                     [&](index_t d, index_t y, index_t x, index_t at) { rows(d, y, x) = features(d, at); });
      expects_finite(where, rows.view(), "dense_crf: feature");
    }
  }
  void expects_room(index_t labels) const
  {
    double const needed = crf_bytes_needed<P>(size_, ties_, labels);
    expects(needed <= options_.most_bytes, "dense_crf: an image of ", size_.height, " x ", size_.width, " with ",
            labels, " labels takes about ", std::ceil(needed / 1e8) / 10, " GB, more than the ",
            options_.most_bytes / 1e9, " GB allowed; raise options.most_bytes or label it in tiles");
  }
  void expects_begun_here(mean_field<P> const& field) const
  {
    expects(field.crf == id_, "dense_crf: the inference of another CRF, of ", field.size.height, " x ",
            field.size.width, " pixels and ", static_cast<index_t>(field.kernels), " kernels");
  }
  void expects_own(mean_field<P> const& field) const
  {
    expects_begun_here(field);
    expects(field.q.size() == field.gain.size() && field.kernels == built_.size(),
            "dense_crf: the inference has not begun with these ", static_cast<index_t>(built_.size()),
            " kernels; restart() begins it");
  }

  void make_ready(P const& where, mean_field<P>& field) const
  {
    expects_begun_here(field);
    expects_room(field.labels);
    expects_compatibilities(ties_, field.all);
    if (field.q.size() != field.gain.size()) field.q = make_grid<float>(where, {field.gain.size()});
    field.kernels = built_.size(), field.steps = 0;
    make_room_on(where, built_, field);
  }

  using sums_t = std::shared_ptr<crf_sums<P> const>;

  /// The filter of some features, [D,N], and the factors of its sums.
  sums_t sums_of(P const& where, grid<float, 2, S> features, kernel_norm by) const
  {
    index_t const N = features.view().extent[1];
    auto const filter = [&]() -> decltype(crf_sums<P>::filter) {
      if (!options_.exact) return permutohedral<P>(where, std::move(features), {options_.pad});
      return all_pairs<P>{std::move(features)};
    };
    auto made = std::make_shared<crf_sums<P>>(crf_sums<P>{filter()});
    if (by != kernel_norm::none) {
      made->factor = make_grid<float>(where, {N});
      float* const sums = made->factor.view().data;
      std::visit(
          [&](auto const& built) {
            lattice_scratch<P> scratch(where, built, 1);
            filter_on(where, built, nullptr, 0, 1, false, sums, 1, scratch);
          },
          made->filter);
      for_each_index(where, N, rule::invert_sums{by == kernel_norm::symmetric, sums});
    }
    return made;
  }
  /// The same for features of pixels: x/sx, y/sy, colours/srgb.
  template <class V>
  sums_t sums_of(P const& where, view<V const, 3, S> image, index_t D, float sx, float sy, float srgb,
                 kernel_norm by) const
  {
    auto features = make_grid<float>(where, {D, size_.height * size_.width});
    write_features(where, {size_}, rule::make_features<V, S>{image, sx, sy, srgb, features.view().data}, D);
    if constexpr (std::is_same_v<P, cpu>) expects_finite_features(where, features, pixel_order{size_});
    return sums_of(where, std::move(features), by);
  }
  /// The same for positions alone, which may be kept.
  sums_t sums_of_positions(P const& where, float sx, float sy, kernel_norm by, kept_lattices<P>* kept) const
  {
    auto const make = [&] {
      view<float const, 3, S> const none(nullptr, {size_.height, size_.width, 0});
      return sums_of(where, none, 2, sx, sy, 0, by);
    };
    if constexpr (std::is_same_v<P, cpu>)
      if (kept != nullptr) return kept->get({size_, sx, sy, by, options_.pad, options_.exact}, make);
    return make();
  }
  /// Tie the pixels with a kernel.
  void tie(P const& where, sums_t sums, compatibility const& compat, kernel_norm by)
  {
    std::vector<float> const weight(compat.weight.begin(), compat.weight.end());
    crf_kernel<P> made{std::move(sums), by, compat.potts(), compat.matrix, compat.potts() ? weight[0] : 1.f};
    made.compat = to_memory(where, weight);
    built_.push_back(std::move(made));
  }
  /// Call build() for a kernel to be added; whatever it throws, the CRF is as before.
  template <class Build>
  void add_tie(crf_tie tie, Build const& build)
  {
    ties_.push_back(std::move(tie));
    try {
      expects_room(2);
      build();
    } catch (...) {
      ties_.pop_back();
      throw;
    }
  }

  std::uint64_t id_ = new_crf_id();
  extent2 size_;
  crf_build options_;
  std::vector<crf_tie> ties_;
  std::vector<crf_kernel<P>> built_;
};

struct crf_options {
  int iterations = 10;
  std::vector<index_t> present{};  ///< the labels that take part; all if empty
};

/// Refine unary energies with a fully connected CRF.
///
/// @param where    where to run
/// @param field    built once for an image; any number of energies may follow
/// @param unary    [L,H,W] energies, from unary_from_labels and its like
/// @param options  iterations = 10, present = all
/// @return the field after that many steps: marginals() and argmax_labels() read it, step() goes on
///
/// @throws       precondition_error: see start; iterations negative
/// @complexity   a step takes about 25 ns a pixel and label on one core; O(N * L) memory beside the lattices
/// @determinism  the same bits on every run and for every number of threads; on the cpu between instruction sets and
///               compilers up to contraction, which inference may amplify to about 1e-4 of a marginal. A device has the
///               bits of isa::baseline, with exact kernels up to rounding
/// @asynchrony   gpu: enqueues and returns
/// @source       DenseCRF::inference of pydensecrf
template <execution_policy P, stack_like U>
[[nodiscard]] mean_field<P> infer(P const& where, dense_crf<P> const& field, U const& unary, crf_options options = {})
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
/// @param where    where to run
/// @param field    of the image
/// @param labels   [H,W] 0..L-1
/// @param L        number of labels; those that do not occur in `labels` cost time and can win
/// @param options  gt_prob = 0.7, iterations = 10
/// @return [H,W] 0..L-1 in the memory of the policy
///
/// @throws       precondition_error: see unary_from_labels and infer
/// @asynchrony   gpu: enqueues and returns
/// @source       crf_inference_label, misc/imutils.py of jiwoon-ahn/irn
template <execution_policy P, image_like M>
[[nodiscard]] grid<std::int32_t, 2, typename P::memory> refine_labels(P const& where, dense_crf<P> const& field,
                                                                      M const& labels, index_t L,
                                                                      refine_labels_options options = {})
{
  auto const unary = unary_from_labels(where, labels, L, {.gt_prob = options.gt_prob});
  return argmax_labels(where, infer(where, field, unary, {.iterations = options.iterations}));
}

}  // namespace cambium
