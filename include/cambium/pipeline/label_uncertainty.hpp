#pragma once

#include <cambium/core/label.hpp>
#include <cambium/instance/bootstrap.hpp>
#include <cambium/loss/label_uncertainty.hpp>

#include <algorithm>
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
/// Without a mask, what lies outside all boxes of a class is certainly not of it. With one, its cells are certain but for
/// those of label::ignore: these are boxed inside a box and ignored elsewhere. Cells of which nobody knows anything, as
/// regions of several objects that nobody counted, are ignored for every class, inside boxes too, unless the mask is
/// certain of them.
struct weak_annotation {
  std::vector<class_box> boxes;
  image_view<std::int32_t const> mask{};     ///< [H,W] 0 background, class + 1, label::ignore; or null
  image_view<std::uint8_t const> ignored{};  ///< [H,W] not 0 where nothing is known; or null
};

/// How a training step makes targets and a loss of boxes. One name per knob; see its own struct for the rest.
struct box_supervision_options {
  label_uncertainty_options loss{};
  bootstrap_options bootstrap{};  ///< its largest_sigma is not read: the loss's is
};

/// Targets of one image for label_uncertainty_loss.
struct uncertain_targets {
  grid<float, 3> target;  ///< [N,H,W]; N = C classes one_vs_rest, C + 1 with the background first under a softmax
  grid<std::uint8_t, 3> trusted;                         ///< [N,H,W], or [1,H,W] under a softmax
  index_t foreground = 0, background = 0, restored = 0;  ///< [cells] summed over classes, see bootstrapped
};

/// How many classes an output of N channels distinguishes, the background not counted.
inline index_t classes_of(index_t channels, class_model model)
{
  return model == class_model::one_vs_rest ? channels : channels - 1;
}

/// The logit that asks "class c, or background?", and its variance: under a softmax the difference of two independent ones.
template <class T>
std::pair<grid<double, 2>, grid<double, 2>> class_logit(stack_view<T const> mean, stack_view<T const> log_variance,
                                                        class_model model, index_t c)
{
  index_t const H = mean.extent[1], W = mean.extent[2];
  bool const shared = log_variance.extent[0] == 1;
  auto mu = make_grid<double>({H, W}), s = make_grid<double>({H, W});
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      if (model == class_model::one_vs_rest) {
        mu(y, x) = static_cast<double>(mean(c, y, x));
        s(y, x) = static_cast<double>(log_variance(shared ? 0 : c, y, x));
        continue;
      }
      double const a = static_cast<double>(log_variance(shared ? 0 : c + 1, y, x));
      double const b = static_cast<double>(log_variance(0, y, x));
      mu(y, x) = static_cast<double>(mean(c + 1, y, x)) - static_cast<double>(mean(0, y, x));
      s(y, x) = std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));  // log(e^a + e^b)
    }
  return {std::move(mu), std::move(s)};
}

/// Make the targets of one image from its boxes and what the network says now.
///
/// Every class is bootstrapped by itself. One against the rest, that is all. Under a softmax a pixel's classes share it:
/// target_c = y_c / max(1, sum y), the background gets what is left, and the pixel is trusted as its most trusted class:
/// classes that are certain of it leave none to those that have but a box, and a pixel all classes gave up is background.
///
/// @param where         cpu
/// @param mean          [N,H,W] of the logits; N = C, under a softmax C + 1 with the background first
/// @param log_variance  [N,H,W] or [1,H,W]
/// @param known         boxes, an exact mask, or both, and what is ignored
/// @param iteration     of the training, from 0
/// @param options       both parts
///
/// @throws       precondition_error: a category outside 0..C-1, a mask or ignored cells of another shape, other labels, and what
///               bootstrap() throws
/// @invariant    where a mask is exact its labels are the targets, certain, whatever boxes and network say
/// @complexity   Theta(N * H * W + cells of boxes)
/// @determinism  exact up to the mathematics library's exponential
/// @source       Neven et al., ICCVW 2021, by its abstract; several classes and mixed masks are ours
template <stack_like M, stack_like S>
[[nodiscard]] uncertain_targets box_targets(cpu const& where, M const& mean, S const& log_variance,
                                            weak_annotation const& known, std::int64_t iteration,
                                            box_supervision_options const& options = {})
{
  using T = value_of<M, 3>;
  stack_view<T const> const mu = as_view<3>(mean, "box_targets: mean");
  stack_view<T const> const s = as_view<3>(log_variance, "box_targets: log_variance");
  index_t const N = mu.extent[0], H = mu.extent[1], W = mu.extent[2];
  auto const model = options.loss.classes;
  bool const binary = model == class_model::one_vs_rest;
  index_t const C = classes_of(N, model);
  expects(C >= 0, "box_targets: mean is ", mu, "; a softmax needs a background channel");
  expects((s.extent[0] == N || s.extent[0] == 1) && s.extent[1] == H && s.extent[2] == W, "box_targets: mean is ", mu,
          " but log_variance is ", s);
  expects_finite(where, mu, "box_targets: mean");
  expects_finite(where, s, "box_targets: log_variance");
  for (std::size_t i = 0; i < known.boxes.size(); ++i)
    expects(0 <= known.boxes[i].category && known.boxes[i].category < C, "box_targets: the category of box ",
            static_cast<index_t>(i), " is ", known.boxes[i].category, ", outside 0..", C - 1);
  expects(known.ignored.data == nullptr || (known.ignored.extent[0] == H && known.ignored.extent[1] == W),
          "box_targets: mean is ", mu, " but the ignored cells are ", known.ignored);
  bool const exact = known.mask.data != nullptr;
  if (exact) {
    expects(known.mask.extent[0] == H && known.mask.extent[1] == W, "box_targets: mean is ", mu, " but the mask is ",
            known.mask);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const at = known.mask(y, x);
        expects((0 <= at && at <= C) || at == label::ignore, "box_targets: mask(", y, ",", x, ") is ", at,
                ", outside 0..", C, " and not ", label::ignore);
      }
  }

  auto rules = options.bootstrap;
  rules.largest_sigma = options.loss.largest_sigma;
  uncertain_targets out{grid<float, 3>(N, H, W), grid<std::uint8_t, 3>(binary ? N : 1, H, W)};
  std::vector<bootstrapped> of_class;
  for (index_t c = 0; c < C; ++c) {
    std::vector<box> boxes;
    for (class_box const& b : known.boxes)
      if (b.category == c) boxes.push_back(b.bounds);
    auto const [logit, spread] = class_logit(mu, s, model, c);
    of_class.push_back(bootstrap(where, logit, spread, boxes, iteration, rules));
    auto const& got = of_class.back();
    out.foreground += got.foreground, out.background += got.background, out.restored += got.restored;
  }

  grid<std::uint8_t, 3> covered(exact ? C : 0, H, W);  // by a box of the class
  if (exact)
    for (class_box const& b : known.boxes) {
      box const part = clipped(b.bounds, H, W);
      for (index_t y = part.top; y < part.bottom; ++y)
        std::fill_n(&covered(b.category, y, part.left), part.right - part.left, std::uint8_t{1});
    }

  for_each_share(where, H, 8, [&](index_t begin, index_t end) {
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const known_as = exact ? known.mask(y, x) : label::ignore;
        if (known.ignored.data != nullptr && known.ignored(y, x) != 0 && known_as == label::ignore) {
          for (index_t n = 0; n < out.trusted.shape()[0]; ++n) out.trusted(n, y, x) = trust::ignored;
          continue;  // targets are 0
        }
        bool any_box = !exact;
        double claims[3]{};  // of classes by their trust
        bool unsure = false;
        for (index_t c = 0; c < C; ++c) {
          auto const& got = of_class[static_cast<std::size_t>(c)];
          float target = got.target(y, x);
          std::uint8_t trusted = got.trusted(y, x);
          bool const in_box = !exact || covered(c, y, x) != 0;
          any_box = any_box || in_box;
          if (known_as != label::ignore) {
            target = known_as == c + 1 ? 1.f : 0.f, trusted = trust::certain;
          } else if (!in_box) {  // a mask that does not know, and no box that does
            target = 0, trusted = trust::ignored;
          }
          if (binary) {
            out.target(c, y, x) = target, out.trusted(c, y, x) = trusted;
            continue;
          }
          claims[trusted] += static_cast<double>(target);
          unsure = unsure || (in_box && trusted == trust::ignored);
        }
        if (binary) continue;
        std::uint8_t const by = claims[trust::certain] > 0 ? trust::certain
                                : claims[trust::boxed] > 0 ? trust::boxed
                                                           : trust::ignored;  // nobody claims it
        double const total = by == trust::ignored ? 0 : claims[by], scale = 1 / std::max(1.0, total);
        for (index_t c = 0; c < C && total > 0; ++c) {
          auto const& got = of_class[static_cast<std::size_t>(c)];
          bool const its = known_as != label::ignore ? known_as == c + 1 : got.trusted(y, x) == by;
          double const target = known_as != label::ignore ? 1 : static_cast<double>(got.target(y, x));
          if (its) out.target(c + 1, y, x) = static_cast<float>(target * scale);
        }
        bool const nothing_known = total == 0 && known_as == label::ignore && (unsure || !any_box);
        out.target(0, y, x) = nothing_known ? 0.f : static_cast<float>(std::max(0.0, 1 - total));
        out.trusted(0, y, x) = total > 0 ? by : nothing_known ? trust::ignored : trust::certain;
      }
  });
  return out;
}

/// A training step's value, gradient and the targets it was taken against.
template <class T>
struct box_supervision_step {
  label_uncertainty_loss_of<T> loss;
  grid<float, 4> target;
  grid<std::uint8_t, 4> trusted;
  index_t foreground = 0, background = 0, restored = 0;  ///< [cells] summed over the batch, see bootstrapped
};

/// Turn a batch of network outputs and boxes into a loss and its gradient: targets of every image, then the loss.
///
/// The targets are constants: no gradient flows through the bootstrapping.
///
/// @param where         cpu
/// @param mean          [B,N,H,W] of the logits
/// @param log_variance  [B,N,H,W] or [B,1,H,W]
/// @param known         B annotations
/// @param iteration     of the training, from 0
/// @param options       both parts
///
/// @throws precondition_error: as box_targets and label_uncertainty_loss; another number of annotations than images
template <gridded<4> M, gridded<4> S>
[[nodiscard]] auto box_supervision(cpu const& where, M const& mean, S const& log_variance,
                                   std::vector<weak_annotation> const& known, std::int64_t iteration,
                                   box_supervision_options const& options = {}) -> box_supervision_step<value_of<M, 4>>
{
  using T = value_of<M, 4>;
  view<T const, 4> const mu = as_view<4>(mean, "box_supervision: mean");
  view<T const, 4> const s = as_view<4>(log_variance, "box_supervision: log_variance");
  index_t const B = mu.extent[0], N = mu.extent[1], H = mu.extent[2], W = mu.extent[3];
  expects(s.extent[0] == B, "box_supervision: mean is ", mu, " but log_variance is ", s);
  expects(static_cast<index_t>(known.size()) == B, "box_supervision: mean is ", mu, " but there are ",
          static_cast<index_t>(known.size()), " annotations");
  index_t const trusts = options.loss.classes == class_model::one_vs_rest ? N : 1;
  box_supervision_step<T> out{{}, make_grid<float>({B, N, H, W}), make_grid<std::uint8_t>({B, trusts, H, W})};
  for (index_t b = 0; b < B; ++b) {
    auto const got = box_targets(where, mu[b], s[b], known[static_cast<std::size_t>(b)], iteration, options);
    std::copy_n(got.target.data(), got.target.size(), out.target.data() + b * got.target.size());
    std::copy_n(got.trusted.data(), got.trusted.size(), out.trusted.data() + b * got.trusted.size());
    out.foreground += got.foreground, out.background += got.background, out.restored += got.restored;
  }
  if constexpr (std::is_same_v<T, float>) {
    out.loss = label_uncertainty_loss(where, mu, s, out.target, out.trusted, options.loss);
  } else {
    auto target = make_grid<T>({B, N, H, W});
    std::copy(out.target.cells().begin(), out.target.cells().end(), target.cells().begin());
    out.loss = label_uncertainty_loss(where, mu, s, target, out.trusted, options.loss);
  }
  return out;
}

}  // namespace cambium
