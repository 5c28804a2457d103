#pragma once

#include <cambium/core/label.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/instance/bootstrap.hpp>
#include <cambium/loss/label_uncertainty.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// A box drawn around an object of a class.
struct class_box {
  box bounds;
  std::int32_t category = 0;  ///< 0-based class
};

/// What is known about an image. Either part may be missing.
///
/// Without a mask, cells outside all boxes of a class are certainly not of this class. With a mask, its cells are
/// certain except those of label::ignore: these are boxed inside a box and ignored elsewhere. Unknown cells, for
/// example regions of uncounted objects, are ignored for every class, inside boxes too, unless the mask is certain of
/// them.
template <class Space = host>
struct weak_annotation {
  std::vector<class_box> boxes;
  image_view<std::int32_t const, Space> mask;     ///< [H,W] 0 background, class + 1, label::ignore; or null
  image_view<std::uint8_t const, Space> ignored;  ///< [H,W] not 0 where nothing is known; or null

  weak_annotation() = default;
  weak_annotation(std::vector<class_box> all, image_view<std::int32_t const, Space> exact,
                  image_view<std::uint8_t const, Space> unknown = {})
      : boxes(std::move(all)), mask(exact), ignored(unknown)
  {
  }
};

/// How a training step makes a loss and targets from boxes.
struct box_supervision_options {
  label_uncertainty_options loss{};
  bootstrap_options bootstrap{};  ///< its largest_sigma is not read: the loss's is
};

/// Targets of one image for label_uncertainty_loss.
template <class Space = host>
struct uncertain_targets : bootstrap_counts {  ///< [cells] summed over classes
  /// [N,H,W]; N = C classes one_vs_rest, C + 1 with the background first under a softmax
  grid<float, 3, Space> target;
  grid<std::uint8_t, 3, Space> trusted;  ///< [N,H,W], or [1,H,W] under a softmax
};

/// How many classes an output of N channels distinguishes, the background not counted.
inline index_t classes_of(index_t channels, class_model model)
{
  return model == class_model::one_vs_rest ? channels : channels - 1;
}

namespace rule {

/// The logit of "class c, or background?" and its variance: under a softmax the difference of two independent ones.
template <class T, class S>
struct class_logit_cell {
  stack_view<T const, S> mean, log_variance;
  bool one_vs_rest;
  index_t c;
  image_view<double, S> mu, s;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    bool const shared = log_variance.extent[0] == 1;
    if (one_vs_rest) {
      mu(y, x) = static_cast<double>(mean(c, y, x));
      s(y, x) = static_cast<double>(log_variance(shared ? 0 : c, y, x));
      return;
    }
    double const a = static_cast<double>(log_variance(shared ? 0 : c + 1, y, x));
    double const b = static_cast<double>(log_variance(0, y, x));
    mu(y, x) = static_cast<double>(mean(c + 1, y, x)) - static_cast<double>(mean(0, y, x));
    s(y, x) = (a < b ? b : a) + std::log1p(std::exp(a < b ? a - b : b - a));  // log(e^a + e^b)
  }
};

/// One pixel of all classes: what the annotation knows, then what bootstrapping says. See box_targets.
template <class S>
struct combine_classes {
  class_box const* boxes;
  index_t count, classes;
  bool one_vs_rest;
  image_view<std::int32_t const, S> mask;
  image_view<std::uint8_t const, S> ignored;
  stack_view<float const, S> own_target;  ///< [C,H,W] of each class by itself
  stack_view<std::uint8_t const, S> own_trusted;
  stack_view<float, S> target;
  stack_view<std::uint8_t, S> trusted;

  CAMBIUM_HD bool in_box(index_t c, index_t y, index_t x) const
  {
    if (mask.data == nullptr) return true;
    for (index_t b = 0; b < count; ++b) {
      box const& at = boxes[b].bounds;
      if (boxes[b].category == c && at.top <= y && y < at.bottom && at.left <= x && x < at.right) return true;
    }
    return false;
  }

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    auto const known = mask.data != nullptr ? mask(y, x) : label::ignore;
    for (index_t n = 0; n < target.extent[0]; ++n) target(n, y, x) = 0;
    if (ignored.data != nullptr && ignored(y, x) != 0 && known == label::ignore) {
      for (index_t n = 0; n < trusted.extent[0]; ++n) trusted(n, y, x) = trust::ignored;
      return;
    }
    bool any_box = mask.data == nullptr, unsure = false;
    double claims[3] = {0, 0, 0};  // of classes by their trust
    for (index_t c = 0; c < classes; ++c) {
      float of = own_target(c, y, x);
      std::uint8_t by = own_trusted(c, y, x);
      bool const inside = known == label::ignore && in_box(c, y, x);  // boxes count where the mask does not know
      any_box = any_box || inside;
      if (known != label::ignore)
        of = known == c + 1 ? 1.f : 0.f, by = trust::certain;
      else if (!inside)  // neither the mask nor a box says anything
        of = 0, by = trust::ignored;
      if (one_vs_rest) {
        target(c, y, x) = of, trusted(c, y, x) = by;
        continue;
      }
      claims[by] += static_cast<double>(of);
      unsure = unsure || (inside && by == trust::ignored);
    }
    if (!one_vs_rest) share(y, x, known, claims, unsure || !any_box);
  }

 private:
  /// Under a softmax: the most trusted classes share the pixel, and the background gets the rest.
  CAMBIUM_HD void share(index_t y, index_t x, std::int32_t known, double const (&claims)[3], bool doubt) const
  {
    std::uint8_t const by = claims[trust::certain] > 0 ? trust::certain
                            : claims[trust::boxed] > 0 ? trust::boxed
                                                       : trust::ignored;  // no class claims it
    double const total = by == trust::ignored ? 0 : claims[by], scale = 1 / (total < 1 ? 1 : total);
    for (index_t c = 0; c < classes && total > 0; ++c) {
      bool const its = known != label::ignore ? known == c + 1 : own_trusted(c, y, x) == by;
      double const of = known != label::ignore ? 1 : static_cast<double>(own_target(c, y, x));
      if (its) target(c + 1, y, x) = static_cast<float>(of * scale);
    }
    bool const nothing_known = total == 0 && known == label::ignore && doubt;
    target(0, y, x) = nothing_known ? 0.f : static_cast<float>(total < 1 ? 1 - total : 0);
    trusted(0, y, x) = total > 0 ? by : nothing_known ? trust::ignored : trust::certain;
  }
};

template <class T>
struct convert_cell {
  float const* from;
  T* to;
  CAMBIUM_HD void operator()(index_t i) const { to[i] = static_cast<T>(from[i]); }
};

}  // namespace rule

/// The logit of "class c, or background?" and its variance, see rule::class_logit_cell.
template <execution_policy P, stack_like M, stack_like V>
[[nodiscard]] auto class_logit(P const& where, M const& mean, V const& log_variance, class_model model, index_t c)
    -> std::pair<grid<double, 2, typename P::memory>, grid<double, 2, typename P::memory>>
{
  using S = typename P::memory;
  stack_view<value_of<M, 3> const, S> const mu = as_view<3>(mean, "class_logit: mean");
  stack_view<value_of<M, 3> const, S> const s = as_view<3>(log_variance, "class_logit: log_variance");
  index_t const H = mu.extent[1], W = mu.extent[2];
  auto logit = make_grid<double>(where, {H, W}), spread = make_grid<double>(where, {H, W});
  for_each_cell(where, {1, H, W},
                rule::class_logit_cell<value_of<M, 3>, S>{mu, s, model == class_model::one_vs_rest, c, logit.view(),
                                                          spread.view()});
  return {std::move(logit), std::move(spread)};
}

/// Make the targets of one image from its boxes and what the network says now.
///
/// Every class is bootstrapped by itself. With one_vs_rest nothing else happens. Under a softmax the classes of a pixel
/// share it: target_c = y_c / max(1, sum y), the background gets what is left, and the pixel is trusted as its most
/// trusted class. A class that is certain of a pixel leaves nothing to classes that only have a box there. A pixel that
/// all classes gave up is background.
///
/// @param where         where to run; must reach the maps
/// @param mean          [N,H,W] of the logits; N = C, under a softmax C + 1 with the background first
/// @param log_variance  [N,H,W] or [1,H,W]
/// @param known         boxes, an exact mask, or both, and what is ignored
/// @param iteration     of the training, from 0
/// @param options       both parts
///
/// @throws       precondition_error: a category outside 0..C-1, a mask or ignored cells of another shape, other labels,
///               and what bootstrap() throws
/// @invariant    where a mask is exact its labels are the targets, certain, whatever boxes and network say
/// @complexity   Theta(N * (H * W + boxes and their cells))
/// @determinism  exact up to the mathematics library's exponential
/// @asynchrony   gpu: waits for where.stream once a class; NaN, infinities and other labels of a mask are not refused
/// @source       Neven et al., ICCVW 2021, by its abstract; several classes and mixed masks are ours
template <execution_policy P, stack_like M, stack_like V>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<V, 3>>
[[nodiscard]] auto box_targets(P const& where, M const& mean, V const& log_variance,
                               std::type_identity_t<weak_annotation<typename P::memory>> const& known,
                               std::int64_t iteration, box_supervision_options const& options = {})
    -> uncertain_targets<typename P::memory>
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const mu = as_view<3>(mean, "box_targets: mean");
  stack_view<T const, S> const s = as_view<3>(log_variance, "box_targets: log_variance");
  index_t const N = mu.extent[0], H = mu.extent[1], W = mu.extent[2];
  auto const model = options.loss.classes;
  bool const one_vs_rest = model == class_model::one_vs_rest;
  index_t const C = classes_of(N, model);
  expects(C >= 0, "box_targets: mean is ", mu, "; a softmax needs a background channel");
  expects((s.extent[0] == N || s.extent[0] == 1) && s.extent[1] == H && s.extent[2] == W, "box_targets: mean is ", mu,
          " but log_variance is ", s);
  for (std::size_t i = 0; i < known.boxes.size(); ++i)
    expects(0 <= known.boxes[i].category && known.boxes[i].category < C, "box_targets: the category of box ",
            static_cast<index_t>(i), " is ", known.boxes[i].category, ", outside 0..", C - 1);
  expects(known.ignored.data == nullptr || (known.ignored.extent[0] == H && known.ignored.extent[1] == W),
          "box_targets: mean is ", mu, " but the ignored cells are ", known.ignored);
  expects(known.mask.data == nullptr || (known.mask.extent[0] == H && known.mask.extent[1] == W),
          "box_targets: mean is ", mu, " but the mask is ", known.mask);
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, mu, "box_targets: mean");
    expects_finite(where, s, "box_targets: log_variance");
    for (index_t y = 0; known.mask.data != nullptr && y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const at = known.mask(y, x);
        expects((0 <= at && at <= C) || at == label::ignore, "box_targets: mask(", y, ",", x, ") is ", at,
                ", outside 0..", C, " and not ", label::ignore);
      }
  }

  auto rules = options.bootstrap;
  rules.largest_sigma = options.loss.largest_sigma;
  uncertain_targets<S> out{
      {}, make_grid<float>(where, {N, H, W}), make_grid<std::uint8_t>(where, {one_vs_rest ? N : 1, H, W})};
  auto own_target = make_grid<float>(where, {C, H, W});
  auto own_trusted = make_grid<std::uint8_t>(where, {C, H, W});
  for (index_t c = 0; c < C; ++c) {
    std::vector<box> boxes;
    for (class_box const& b : known.boxes)
      if (b.category == c) boxes.push_back(b.bounds);
    auto const [logit, spread] = class_logit(where, mu, s, model, c);
    static_cast<bootstrap_counts&>(out) = out + bootstrap_into(where, logit, spread, boxes, iteration, rules,
                                                               own_target.view()[c], own_trusted.view()[c]);
  }
  auto const list = to_memory(where, known.boxes);
  for_each_cell(where, {1, H, W},
                rule::combine_classes<S>{list.view().data, list.size(), C, one_vs_rest, known.mask, known.ignored,
                                         own_target.view(), own_trusted.view(), out.target.view(), out.trusted.view()});
  return out;
}

/// A training step's value, gradient and the targets it was taken against.
template <class T, class Space = host>
struct box_supervision_step : bootstrap_counts {  ///< [cells] summed over the batch
  uncertainty_loss<T, Space> loss;
  grid<float, 4, Space> target;
  grid<std::uint8_t, 4, Space> trusted;
};

/// Turn a batch of network outputs and boxes into a loss and its gradient: targets of every image, then the loss.
///
/// The targets are constants: no gradient flows through the bootstrapping.
///
/// @param where         where to run; must reach the maps
/// @param mean          [B,N,H,W] of the logits
/// @param log_variance  [B,N,H,W] or [B,1,H,W]
/// @param known         B annotations
/// @param iteration     of the training, from 0
/// @param options       both parts
///
/// @throws precondition_error: as box_targets and label_uncertainty_loss; another number of annotations than images
template <execution_policy P, gridded<4> M, gridded<4> V>
  requires reaches<P, space_of<M, 4>> && reaches<P, space_of<V, 4>>
[[nodiscard]] auto box_supervision(P const& where, M const& mean, V const& log_variance,
                                   std::vector<weak_annotation<typename P::memory>> const& known,
                                   std::int64_t iteration, box_supervision_options const& options = {})
    -> box_supervision_step<value_of<M, 4>, typename P::memory>
{
  using T = value_of<M, 4>;
  using S = typename P::memory;
  view<T const, 4, S> const mu = as_view<4>(mean, "box_supervision: mean");
  view<T const, 4, S> const s = as_view<4>(log_variance, "box_supervision: log_variance");
  index_t const B = mu.extent[0], N = mu.extent[1], H = mu.extent[2], W = mu.extent[3];
  expects(s.extent[0] == B, "box_supervision: mean is ", mu, " but log_variance is ", s);
  expects(static_cast<index_t>(known.size()) == B, "box_supervision: mean is ", mu, " but there are ",
          static_cast<index_t>(known.size()), " annotations");
  index_t const trusts = options.loss.classes == class_model::one_vs_rest ? N : 1;
  box_supervision_step<T, S> out{
      {}, {}, make_grid<float>(where, {B, N, H, W}), make_grid<std::uint8_t>(where, {B, trusts, H, W})};
  for (index_t b = 0; b < B; ++b) {
    auto const got = box_targets(where, mu[b], s[b], known[static_cast<std::size_t>(b)], iteration, options);
    copy(where, got.target.view(), out.target.view()[b]);
    copy(where, got.trusted.view(), out.trusted.view()[b]);
    static_cast<bootstrap_counts&>(out) = out + got;
  }
  if constexpr (std::is_same_v<T, float>) {
    out.loss = label_uncertainty_loss(where, mu, s, out.target, out.trusted, options.loss);
  } else {
    auto target = make_grid<T>(where, {B, N, H, W});
    for_each_index(where, target.size(), rule::convert_cell<T>{out.target.view().data, target.view().data});
    out.loss = label_uncertainty_loss(where, mu, s, target, out.trusted, options.loss);
  }
  return out;
}

}  // namespace cambium
