#include "loss/losses.hpp"

#include <cambium/grid/gaussian_logit.hpp>
#include <cambium/interop/torch.hpp>

// Catch2 redefines a macro of LibTorch's.
#undef CHECK
#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

using namespace cambium;

namespace {

cpu const here{.threads = 2};

using loss_of = std::function<at::Tensor(std::vector<at::Tensor> const&)>;

/// The gradients autograd finds of scale * loss, by inputs.
std::vector<at::Tensor> by_autograd(loss_of const& loss, std::vector<at::Tensor> const& at_inputs, double scale)
{
  std::vector<at::Tensor> leaves, out;
  for (at::Tensor const& t : at_inputs) leaves.push_back(t.detach().clone().requires_grad_());
  (loss(leaves) * scale).backward();
  for (at::Tensor const& t : leaves) out.push_back(t.grad());
  return out;
}

/// The largest difference between autograd's gradients and central differences, at inputs of doubles.
double gradient_error(loss_of const& loss, std::vector<at::Tensor> const& inputs)
{
  auto const found = by_autograd(loss, inputs, 3);
  double const step = 1e-6;
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    REQUIRE(found[i].defined());
    REQUIRE(found[i].sizes() == inputs[i].sizes());
    at::Tensor const by = found[i].contiguous();
    for (std::int64_t k = 0; k < inputs[i].numel(); ++k) {
      double side[2];
      for (int s = 0; s < 2; ++s) {
        std::vector<at::Tensor> moved;
        for (at::Tensor const& t : inputs) moved.push_back(t.detach().contiguous().clone());
        moved[i].view(-1)[k] += s == 0 ? -step : step;
        side[s] = loss(moved).item<double>();
      }
      double const slope = 3 * (side[1] - side[0]) / (2 * step);
      largest = std::max(largest, std::abs(slope));
      worst = std::max(worst, std::abs(slope - by.view(-1)[k].item<double>()));
    }
  }
  REQUIRE(largest > 1e-3);  // there is a gradient to be found
  return worst;
}

at::Tensor random(at::IntArrayRef sizes, at::ScalarType type = at::kDouble) { return at::randn(sizes, type); }

/// Labels 0..classes-1 with some ignored, [B,H,W].
at::Tensor labels(at::IntArrayRef sizes, int classes, at::ScalarType type)
{
  at::Tensor const l = at::randint(0, classes, sizes, at::TensorOptions(type));
  return l.masked_fill(at::rand(sizes) < 0.2, 255);
}

at::Tensor trust_map(at::IntArrayRef sizes) { return at::randint(0, 3, sizes, at::TensorOptions(at::kByte)); }

template <class T, int Rank>
view<T const, Rank> cells(at::Tensor const& t)
{
  return tensor_view<T const, Rank>(t);
}

}  // namespace

TEMPLATE_TEST_CASE("a loss of tensors is the loss of their cells", "[reference]", float, double)
{
  using T = TestType;
  auto const type = c10::CppTypeToScalarType<T>::value;
  at::manual_seed(1);
  auto const same = [&](at::Tensor const& got, double value) {
    REQUIRE(got.scalar_type() == type);
    REQUIRE(got.dim() == 0);
    REQUIRE(value > 0);
    REQUIRE(got.item<T>() == static_cast<T>(value));
  };
  at::Tensor const z = random({2, 3, 8, 9}, type);
  auto const z4 = cells<T, 4>(z);
  at::Tensor const l = labels({2, 8, 9}, 3, at::kInt);
  auto const l3 = cells<std::int32_t, 3>(l);
  same(trainer::cross_entropy(here, z, l), cross_entropy(here, z4, l3).value);
  same(trainer::cross_entropy(here, z, l.to(at::kLong)), cross_entropy(here, z4, l3).value);
  same(trainer::cross_entropy(here, z, l.to(at::kByte)), cross_entropy(here, z4, l3).value);
  hard_pixel_options const hard{.fraction = 0.3, .of = pixel_pool::labelled};
  same(trainer::hardest_pixels_cross_entropy(here, z, l, hard), hardest_pixels_cross_entropy(here, z4, l3, hard).value);

  at::Tensor const target = random({2, 3, 8, 9}, type), weight = at::rand({2, 1, 8, 9}, type);
  for (auto const over : {guided_mean::pixels, guided_mean::values}) {
    auto const t4 = cells<T, 4>(target), w4 = cells<T, 4>(weight);
    same(trainer::guided_square_error(here, z, target, weight, {over}),
         guided_square_error(here, z4, t4, w4, {over}).value);
    same(trainer::guided_absolute_error(here, z, target, weight, {over}),
         guided_absolute_error(here, z4, t4, w4, {over}).value);
  }

  affinity_loss_options const near{.radius = 3};
  at::Tensor const edges = random({2, 1, 8, 9}, type), field = random({2, 2, 8, 9}, type);
  auto const edges3 = cells<T, 3>(edges.squeeze(1));
  auto const both = affinity_displacement_loss<T>(here, edges3, cells<T, 4>(field), l3, near);
  affinity_loss_values parts;
  same(trainer::affinity_displacement(here, edges, field, l, near, &parts), both.value.total());
  REQUIRE((parts.negative == both.value.negative && parts.field_background == both.value.field_background));
  REQUIRE(parts.field_background > 0);
  same(trainer::affinity_displacement(here, edges.squeeze(1), {}, l, near),
       affinity_displacement_loss<T>(here, edges3, {}, l3, near).value.total());

  at::Tensor const s = random({2, 1, 8, 9}, type), y = at::rand({2, 3, 8, 9}, type), trusted = trust_map({2, 3, 8, 9});
  label_uncertainty_options const soft{.largest_sigma = 5, .box_weight = 0.5};
  auto const wanted =
      label_uncertainty_loss(here, z4, cells<T, 4>(s), cells<T, 4>(y), cells<std::uint8_t, 4>(trusted), soft);
  label_uncertainty_value counted;
  same(trainer::label_uncertainty(here, z, s, y, trusted, soft, &counted), wanted.value);
  REQUIRE((counted.certain == wanted.certain && counted.boxed == wanted.boxed && counted.boxed > 0));
}

TEST_CASE("autograd's gradients are the slopes of the losses", "[reference]")
{
  at::manual_seed(2);
  at::Tensor const z = random({2, 3, 5, 6}), l = labels({2, 5, 6}, 3, at::kLong);
  using list = std::vector<at::Tensor>;
  REQUIRE(gradient_error([&](list const& in) { return trainer::cross_entropy(here, in[0], l); }, {z}) < 1e-7);
  REQUIRE(gradient_error([&](list const& in) { return trainer::hardest_pixels_cross_entropy(here, in[0], l); }, {z}) <
          1e-7);
  at::Tensor const target = random({2, 3, 5, 6}), weight = at::rand({2, 1, 5, 6}, at::kDouble);
  REQUIRE(gradient_error([&](list const& in) { return trainer::guided_square_error(here, in[0], target, weight); },
                         {z}) < 1e-7);
  REQUIRE(gradient_error([&](list const& in) { return trainer::guided_absolute_error(here, in[0], target, weight); },
                         {z}) < 1e-7);
  at::Tensor const blobs = labels({1, 8, 9}, 2, at::kInt);
  REQUIRE(gradient_error(
              [&](list const& in) { return trainer::affinity_displacement(here, in[0], in[1], blobs, {.radius = 3}); },
              {random({1, 1, 8, 9}), random({1, 2, 8, 9})}) < 1e-6);
  REQUIRE(gradient_error(
              [&](list const& in) { return trainer::affinity_displacement(here, in[0], {}, blobs, {.radius = 3}); },
              {random({1, 8, 9})}) < 1e-6);
  at::Tensor const y = at::rand({2, 3, 5, 6}, at::kDouble);
  for (auto const model : {class_model::one_vs_rest, class_model::mean_field, class_model::sampled}) {
    at::Tensor const trusted = trust_map({2, 1, 5, 6});
    label_uncertainty_options const options{.classes = model, .largest_sigma = 50, .box_weight = 0.7, .samples = 4};
    for (std::int64_t const spreads : {1, 3})
      REQUIRE(gradient_error(
                  [&](list const& in) { return trainer::label_uncertainty(here, in[0], in[1], y, trusted, options); },
                  {z, random({2, spreads, 5, 6})}) < 1e-7);
  }
  at::Tensor const p = at::softmax(random({2, 3, 5, 6}), 1), roi = (at::rand({2, 1, 5, 6}) < 0.7).to(at::kDouble);
  at::Tensor const photograph = at::rand({2, 3, 5, 6}, at::kDouble), features = 0.4 * random({2, 4, 5, 6});
  for (double const sigma : {0.02, 1.0}) {
    REQUIRE(
        gradient_error(
            [&](list const& in) { return trainer::tree_energy(here, in[0], roi, photograph, {}, {.sigma = sigma}); },
            {p}) < 1e-7);
    REQUIRE(
        gradient_error(
            [&](list const& in) { return trainer::tree_energy(here, in[0], roi, photograph, in[1], {.sigma = sigma}); },
            {p, features}) < 1e-7);
  }
  REQUIRE(trainer::tree_energy(here, p, at::zeros_like(roi), photograph).item<double>() == 0);
  at::Tensor const tags = at::randint(0, 2, {4, 5}, at::TensorOptions(at::kDouble));
  at::Tensor counts = at::ones({4, 5}, at::kDouble);
  counts[1][2] = 0, counts[3][0] = 0;
  at::Tensor const scores = random({4, 5}).requires_grad_();
  trainer::multilabel_soft_margin(scores, tags, counts).backward();
  REQUIRE((scores.grad()[1][2].item<double>() == 0 && scores.grad()[3][0].item<double>() == 0));
  REQUIRE(at::count_nonzero(scores.grad()).item<std::int64_t>() == 18);
  REQUIRE(gradient_error([&](list const& in) { return trainer::multilabel_soft_margin(in[0], tags); },
                         {random({4, 5})}) < 1e-7);
}

TEMPLATE_TEST_CASE("losses of boxes are those of their cells", "[reference]", float, double)
{
  using T = TestType;
  auto const type = sizeof(T) == 4 ? at::kFloat : at::kDouble;
  std::vector<boxed_instance> const list{{{1, 2, 5, 7}, 0}, {{0, 0, 6, 8}, 1}, {{}, 1}};
  view<boxed_instance const, 1> const instances(list.data(), {3});
  grid<std::uint32_t, 3> pairs(2, 6, 8);
  for (index_t i = 0; i < pairs.size(); ++i) pairs.data()[i] = static_cast<std::uint32_t>(i * 37 % 256);
  auto const z = random({3, 6, 8}, type).requires_grad_();
  auto const alone = cells<T, 3>(z);
  auto const projection = box_projection_loss(here, alone, instances);
  auto const pair = pairwise_loss(here, alone, instances, pairs, {.warm = 0.5});
  auto const p = trainer::box_projection(here, z, instances),
             q = trainer::pairwise(here, z, instances, pairs, {.warm = 0.5});
  REQUIRE(p.item<double>() == Approx(projection.value));
  REQUIRE(q.item<double>() == Approx(pair.value));
  (p + 2 * q).backward();
  double largest = 0;
  for (index_t i = 0; i < alone.size(); ++i) {
    double const want =
        static_cast<double>(projection.gradient.data()[i]) + 2 * static_cast<double>(pair.gradient.data()[i]);
    REQUIRE(z.grad().view(-1)[i].template item<double>() == Approx(want).margin(1e-7));
    largest = std::max(largest, std::abs(want));
  }
  REQUIRE(largest > 1e-3);
  REQUIRE(support::refusal<precondition_error>([&] {
            (void)trainer::pairwise(here, at::zeros({3, 6, 8}, at::kInt), instances, pairs);
          }) == "pairwise: logits is Int [3,6,8] on cpu; expected Float or Double");
}

TEST_CASE("losses take what networks give: parts of a channels-last output", "[property]")
{
  at::manual_seed(3);
  at::Tensor const out = random({2, 4, 6, 7}).contiguous(c10::MemoryFormat::ChannelsLast);
  at::Tensor const y = at::rand({2, 2, 6, 7}, at::kDouble), trusted = trust_map({2, 2, 6, 7});
  auto const loss = [&](std::vector<at::Tensor> const& in) {
    return trainer::label_uncertainty(here, in[0].slice(1, 0, 2), in[0].slice(1, 2, 4), y, trusted);
  };
  REQUIRE(gradient_error(loss, {out}) < 1e-7);
  REQUIRE(loss({out}).item<double>() == loss({out.contiguous()}).item<double>());
}

TEST_CASE("targets get no gradient", "[property]")
{
  at::manual_seed(4);
  at::Tensor const z = random({1, 2, 4, 4}).requires_grad_(), target = random({1, 2, 4, 4}).requires_grad_();
  at::Tensor const weight = at::rand({1, 1, 4, 4}, at::kDouble).requires_grad_();
  trainer::guided_square_error(here, z, target, weight).backward();
  REQUIRE(z.grad().abs().sum().item<double>() > 0);
  REQUIRE((!target.grad().defined() && !weight.grad().defined()));
  at::Tensor const tags = at::rand({2, 3}, at::kDouble).requires_grad_(), logits = random({2, 3}).requires_grad_();
  trainer::multilabel_soft_margin(logits, tags).backward();
  REQUIRE((logits.grad().defined() && !tags.grad().defined()));
}

TEST_CASE("losses add up, each with its weight", "[property]")
{
  at::manual_seed(5);
  at::Tensor const z = random({2, 3, 5, 6}, at::kFloat), l = labels({2, 5, 6}, 3, at::kInt);
  at::Tensor const target = random({2, 3, 5, 6}, at::kFloat), weight = at::rand({2, 1, 5, 6});
  using list = std::vector<at::Tensor>;
  auto const one = [&](list const& in) { return trainer::cross_entropy(here, in[0], l); };
  auto const two = [&](list const& in) { return trainer::guided_absolute_error(here, in[0], target, weight); };
  at::Tensor const sum = by_autograd([&](list const& in) { return 2 * one(in) + 0.25 * two(in); }, {z}, 1)[0];
  REQUIRE(at::allclose(sum, by_autograd(one, {z}, 2)[0] + by_autograd(two, {z}, 0.25)[0], 1e-5, 1e-8));
  REQUIRE(at::allclose(by_autograd(one, {z}, 2)[0], by_autograd(one, {z}, 1)[0] * 2, 1e-6, 1e-9));
}

TEST_CASE("multilabel soft margin is the mean of binary cross entropies", "[reference]")
{
  at::Tensor const z = random({3, 4}) * 20, y = at::randint(0, 2, {3, 4}, at::TensorOptions(at::kDouble));
  REQUIRE(
      at::allclose(trainer::multilabel_soft_margin(z, y), at::binary_cross_entropy_with_logits(z, y), 1e-10, 1e-12));
}

TEST_CASE("wrong inputs of losses are named", "[errors]")
{
  at::Tensor const z = random({2, 3, 5, 6}), l = at::zeros({2, 5, 6}, at::kInt), none;
  at::Tensor const w = at::ones({2, 1, 5, 6}, at::kDouble);
  auto const ce = [&](at::Tensor const& logits, at::Tensor const& known) {
    return support::refusal<precondition_error>([&] { (void)trainer::cross_entropy(here, logits, known); });
  };
  REQUIRE(ce(z, l).empty());
  REQUIRE(ce(none, l) == "cross_entropy: logits is undefined; expected Float or Double");
  REQUIRE_THAT(ce(z.to(at::kHalf), l), says("logits is Half [2,3,5,6] on cpu"));
  REQUIRE_THAT(ce(z[0], l), says("logits is Double [3,5,6] on cpu with 3 axes; expected 4"));
  REQUIRE(ce(z, none) == "cross_entropy: labels is undefined; expected Byte, Int or Long");
  REQUIRE_THAT(ce(z, l.to(at::kFloat)), says("labels is Float"));
  REQUIRE_THAT(ce(z, l.slice(2, 0, 5)), says("labels") && says(".contiguous()"));
  REQUIRE_THAT(ce(z, l + 3), says("label(0,0,0) is 3, outside 0..2"));
  REQUIRE_THAT(ce(z / 0, l), says("logits(0,0,0,0) is"));
  REQUIRE_THAT(ce(at::empty({2, 3, 5, 6}, at::TensorOptions(at::kDouble).device(at::kMeta)), l), says("meta"));
  REQUIRE_THAT(support::refusal<precondition_error>(
                   [&] { (void)trainer::hardest_pixels_cross_entropy(here, z, l, {.fraction = 0}); }),
               says("fraction is 0"));

  auto const guided = [&](at::Tensor const& o, at::Tensor const& t, at::Tensor const& weight) {
    return support::refusal<precondition_error>([&] { (void)trainer::guided_square_error(here, o, t, weight); });
  };
  REQUIRE(guided(z, none, w) == "guided_square_error: target is an undefined tensor");
  REQUIRE(guided(z, z, none) == "guided_square_error: weight is an undefined tensor");
  REQUIRE_THAT(guided(z, z.to(at::kFloat), w), says("target is Float") && says("expected Double"));
  REQUIRE_THAT(guided(z, z, z), says("it is one a pixel, [B,1,H,W]"));
  REQUIRE_THAT(guided(z, z, -w), says("weight(0,0,0,0) is -1"));

  auto const affinity = [&](at::Tensor const& b, at::Tensor const& d, at::Tensor const& known) {
    return support::refusal<precondition_error>([&] { (void)trainer::affinity_displacement(here, b, d, known); });
  };
  REQUIRE(affinity(z, none, l) ==
          "affinity_displacement: boundary is Double [2,3,5,6] on cpu; expected [B,1,H,W] or [B,H,W]");
  REQUIRE_THAT(affinity(w, z, l), says("displacement is [2,3,5,6]"));
  REQUIRE_THAT(affinity(w, z.to(at::kFloat), l), says("displacement is Float"));
  REQUIRE_THAT(affinity(w, none, l.to(at::kLong)), says("labels is Long [2,5,6] on cpu; expected Int"));

  auto const uncertain = [&](at::Tensor const& s, at::Tensor const& y, at::Tensor const& r) {
    return support::refusal<precondition_error>([&] { (void)trainer::label_uncertainty(here, z, s, y, r); });
  };
  at::Tensor const r = at::ones({2, 1, 5, 6}, at::kByte), y = at::zeros({2, 3, 5, 6}, at::kDouble);
  REQUIRE(uncertain(z, y, r).empty());
  REQUIRE(uncertain(none, y, r) == "label_uncertainty: log_variance is an undefined tensor");
  REQUIRE_THAT(uncertain(z, y + 2, r), says("target(0,0,0,0) is 2"));
  REQUIRE_THAT(uncertain(z, y, r + 2), says("trusted(0,0,0,0) is 3"));
  REQUIRE_THAT(uncertain(z, y, w), says("trusted is Double"));

  auto const margin = [](at::Tensor const& logits, at::Tensor const& tags) {
    return support::refusal<precondition_error>([&] { (void)trainer::multilabel_soft_margin(logits, tags); });
  };
  at::Tensor const m = random({2, 3});
  REQUIRE(margin(m, none) == "multilabel_soft_margin: tags is an undefined tensor");
  REQUIRE_THAT(margin(m, at::ones({2, 4}, at::kDouble)), says("logits are [2,3] but tags are [2,4]"));
  REQUIRE_THAT(margin(m, at::full({2, 3}, 2, at::kDouble)), says("tags(0,0) is 2"));
  REQUIRE_THAT(margin(m / 0, at::ones({2, 3}, at::kDouble)), says("logits(0,0)"));
  REQUIRE_THAT(margin(at::ones({0, 3}), at::ones({0, 3})), says("a mean needs one"));
}
