#include <cambium/interop/torch.hpp>
#include <cambium/interop/torch.hpp>  // twice: it stands alone, and its guard holds

#include <torch/csrc/autograd/autograd.h>

// Catch2 redefines a macro of LibTorch's.
#undef CHECK
#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace cambium;

namespace {

/// sum(a^2 b), and its gradients, by loops over views.
loss_and_gradients square_times(at::Tensor const& a, at::Tensor const& b)
{
  auto const x = tensor_view<double const, 2>(a, "a"), y = tensor_view<double const, 2>(b, "b");
  grid<double, 2> by_x(x.extent[0], x.extent[1]), by_y(x.extent[0], x.extent[1]);
  double value = 0;
  for (index_t i = 0; i < x.extent[0]; ++i)
    for (index_t j = 0; j < x.extent[1]; ++j) {
      value += x(i, j) * x(i, j) * y(i, j);
      by_x(i, j) = 2 * x(i, j) * y(i, j);
      by_y(i, j) = x(i, j) * x(i, j);
    }
  return with_gradients(value, std::move(by_x), std::move(by_y));
}

}  // namespace

TEST_CASE("a view of a tensor is its own memory", "[property]")
{
  at::Tensor const t = at::arange(24, at::kFloat).view({2, 3, 4});
  auto const read = tensor_view<float const, 3>(t);
  REQUIRE(read.data == t.data_ptr<float>());
  REQUIRE((read.extent[0] == 2 && read.extent[1] == 3 && read.extent[2] == 4 && read.contiguous()));
  REQUIRE(read(1, 2, 3) == 23);
  auto const write = tensor_view<float, 3>(t);
  REQUIRE(write.data == t.data_ptr<float>());
  write(0, 1, 0) = -7;
  REQUIRE(t[0][1][0].item<float>() == -7);
  // A part of a larger tensor begins where the part begins.
  REQUIRE(tensor_view<float const, 2>(t[1]).data == t.data_ptr<float>() + 12);
}

TEST_CASE("every cell type has its own view", "[property]")
{
  REQUIRE(tensor_view<std::uint8_t const, 1>(at::full({3}, 200, at::kByte))(1) == 200);
  REQUIRE(tensor_view<std::int32_t const, 1>(at::full({3}, -5, at::kInt))(2) == -5);
  REQUIRE(tensor_view<std::int64_t const, 1>(at::full({3}, -5, at::kLong)).size() == 3);
  REQUIRE(tensor_view<double const, 4>(at::ones({1, 2, 3, 4}, at::kDouble)).size() == 24);
  REQUIRE(tensor_view<bool const, 1>(at::ones({2}, at::kBool)).size() == 2);
  REQUIRE(tensor_view<float const, 2>(at::empty({0, 5})).size() == 0);
}

TEST_CASE("a tensor that is no such view is refused, and the message says why", "[errors]")
{
  auto const of = [](at::Tensor const& t) {
    return support::refusal<precondition_error>([&] { (void)tensor_view<float const, 4>(t, "net: out"); });
  };
  at::Tensor const good = at::ones({2, 3, 4, 5});
  REQUIRE(of(good).empty());
  REQUIRE(of({}) == "net: out is an undefined tensor");
  REQUIRE(of(good.to(at::kDouble)) == "net: out is Double [2,3,4,5] on cpu; expected Float");
  REQUIRE(of(good.to(at::kHalf)) == "net: out is Half [2,3,4,5] on cpu; expected Float");
  REQUIRE(of(good[0]) == "net: out is Float [3,4,5] on cpu with 3 axes; expected 4");
  REQUIRE_THAT(of(good.contiguous(c10::MemoryFormat::ChannelsLast)), says("channels-last") && says(".contiguous()"));
  REQUIRE_THAT(of(good.transpose(2, 3)), says("[2,3,5,4]") && says("permuted") && says(".contiguous()"));
  REQUIRE_THAT(of(good.slice(3, 0, 4)), says("gaps"));
  REQUIRE_THAT(of(at::ones({1}).expand({2, 3, 4, 5})), says("gaps"));
  REQUIRE_THAT(of(good.to_sparse()), says("no dense memory") && says(".to_dense()"));
  REQUIRE_THAT(of(good.to_mkldnn()), says("no dense memory"));
  REQUIRE_THAT(of(at::quantize_per_tensor(good, 0.1, 0, at::kQInt8)), says("quantised") && says(".dequantize()"));
  REQUIRE_THAT(of(at::empty({2, 3, 4, 5}, at::TensorOptions().device(at::kMeta))), says("meta") && says("on the CPU"));
  REQUIRE_THAT(of(at::_neg_view(good)), says("negated") && says(".resolve_neg()"));
  // What merely looks odd is taken: axes of one cell have no stride to be wrong.
  REQUIRE(of(at::ones({2, 1, 4, 5}).contiguous(c10::MemoryFormat::ChannelsLast)).empty());
  REQUIRE_THAT(support::refusal<precondition_error>([&] { (void)tensor_view<float, 3>(good); }),
               says("tensor is Float"));
}

TEST_CASE("nothing writes behind autograd's back", "[errors]")
{
  at::Tensor const leaf = at::ones({3}).requires_grad_();
  at::Tensor const result = leaf * 2;
  for (at::Tensor const& t : {leaf, result}) {
    REQUIRE(support::refusal<precondition_error>([&] { (void)tensor_view<float const, 1>(t); }).empty());
    REQUIRE_THAT(support::refusal<precondition_error>([&] { (void)tensor_view<float, 1>(t, "w"); }),
                 says("w is") && says(".detach()"));
    at::NoGradGuard const off;
    REQUIRE_THAT(support::refusal<precondition_error>([&] { (void)tensor_view<float, 1>(t, "w"); }), says(".detach()"));
  }
  REQUIRE(tensor_view<float, 1>(leaf.detach()).data == leaf.data_ptr<float>());

  // A backward pass that needs the cells as they were fails.
  at::Tensor const x = at::full({2}, 3.f).requires_grad_(), y = x * 1, loss = (y * y).sum();
  tensor_view<float, 1>(y.detach())(0) = 100;
  REQUIRE_THAT(support::refusal<std::exception>([&] { loss.backward(); }), says("modified by an inplace operation"));
  REQUIRE(!x.grad().defined());
  // A reader changes nothing.
  at::Tensor const kept = (x * 1), square = (kept * kept).sum();
  REQUIRE(tensor_view<float const, 1>(kept)(0) == 3);
  square.backward();
  REQUIRE(x.grad()[0].item<float>() == 6);
}

TEST_CASE("a grid's cells move into a tensor", "[property]")
{
  grid<float, 3> g(2, 3, 4);
  for (index_t i = 0; i < g.size(); ++i) g.data()[i] = static_cast<float>(i);
  float const* const cells = g.data();
  at::Tensor t = into_tensor(std::move(g));
  REQUIRE(t.data_ptr<float>() == cells);
  REQUIRE((t.sizes() == at::IntArrayRef{2, 3, 4} && t.scalar_type() == at::kFloat && !t.requires_grad()));
  REQUIRE(t.is_contiguous());
  REQUIRE(g.size() == 0);  // NOLINT: moved from, and says so
  REQUIRE((g.shape()[0] == 0));
  // Whoever shares the memory keeps it.
  at::Tensor const row = t[1][2];
  t = at::Tensor();
  REQUIRE(row[3].item<float>() == 23);
  REQUIRE((row + 1)[0].item<float>() == 21);

  at::Tensor const none = into_tensor(grid<std::int32_t, 2>(0, 7));
  REQUIRE((none.sizes() == at::IntArrayRef{0, 7} && none.scalar_type() == at::kInt));
  at::Tensor const bytes = into_tensor(grid<std::uint8_t, 1>(5));
  REQUIRE((bytes.scalar_type() == at::kByte && bytes.sum().item<int>() == 0));
}

TEST_CASE("a loss that knows its gradients is a node of autograd", "[reference]")
{
  at::Tensor const a = at::randn({3, 4}, at::kDouble).requires_grad_(),
                   b = at::randn({3, 4}, at::kDouble).requires_grad_();
  // The same value and the same gradients as LibTorch's own operations, inside a larger graph.
  at::Tensor const ours = differentiable({at::sin(a), b}, square_times);
  at::Tensor const theirs = (at::sin(a) * at::sin(a) * b).sum();
  REQUIRE(ours.dim() == 0);
  REQUIRE(ours.scalar_type() == at::kDouble);
  REQUIRE(ours.requires_grad());
  REQUIRE(at::allclose(ours, theirs, 1e-12, 1e-12));
  double const scale = GENERATE(1.0, -2.5, 0.0);
  (ours * scale).backward();
  at::Tensor const by_a = a.grad().clone(), by_b = b.grad().clone();
  a.mutable_grad() = at::Tensor(), b.mutable_grad() = at::Tensor();
  (theirs * scale).backward();
  REQUIRE(at::allclose(by_a, a.grad(), 1e-12, 1e-12));
  REQUIRE(at::allclose(by_b, b.grad(), 1e-12, 1e-12));
  REQUIRE((scale == 0) == (by_a.abs().sum().item<double>() == 0));
}

TEST_CASE("only inputs that need gradients get them", "[property]")
{
  at::Tensor const a = at::ones({2, 2}, at::kDouble), b = at::ones({2, 2}, at::kDouble).requires_grad_();
  differentiable({a, b}, square_times).backward();
  REQUIRE(!a.grad().defined());
  REQUIRE(b.grad().sum().item<double>() == 4);
  REQUIRE(!differentiable({a, a}, square_times).requires_grad());
  at::NoGradGuard const off;
  REQUIRE(!differentiable({a, b}, square_times).requires_grad());
}

TEST_CASE("a gradient may be kept in the graph but not be differentiated again", "[errors]")
{
  at::Tensor const a = at::full({2, 2}, 3.0, at::kDouble).requires_grad_(),
                   b = at::ones({2, 2}, at::kDouble).requires_grad_();
  at::Tensor const loss = differentiable({a, b}, square_times);
  auto const by = torch::autograd::grad({loss}, {a}, {}, true, true);  // create_graph: gradients as usual
  REQUIRE(by[0].sum().item<double>() == 24);
  at::Tensor const penalty = (by[0] * by[0]).sum() + (b * b).sum();
  REQUIRE(penalty.requires_grad());
  REQUIRE_THAT(support::refusal<precondition_error>([&] { penalty.backward(); }), says("no second derivative"));
  // Twice backwards without keeping the graph is LibTorch's to refuse.
  at::Tensor const once = differentiable({a, b}, square_times);
  once.backward();
  REQUIRE_THAT(support::refusal<std::exception>([&] { once.backward(); }), says("second time"));
}

TEST_CASE("what a loss gets wrong is said", "[errors]")
{
  at::Tensor const a = at::ones({2, 2}, at::kDouble).requires_grad_(), f = at::ones({2, 2});
  auto const of = [](auto&&... gradient) {
    return loss_and_gradients{1, {std::forward<decltype(gradient)>(gradient)...}};
  };
  auto const one = [&](loss_and_gradients const& said) {
    return support::refusal<precondition_error>(
        [&] { (void)differentiable({a}, [&](at::Tensor const&) { return said; }); });
  };
  REQUIRE(one(of(at::ones({2, 2}, at::kDouble))).empty());
  REQUIRE(one(of()) == "differentiable: the loss gave 0 gradients for 1 inputs");
  REQUIRE(one(of(a, a)) == "differentiable: the loss gave 2 gradients for 1 inputs");
  REQUIRE(one(of(at::Tensor())) == "differentiable: input 0 is Double [2,2] on cpu but its gradient is undefined");
  REQUIRE_THAT(one(of(f)), says("its gradient is Float [2,2] on cpu"));
  REQUIRE_THAT(one(of(at::ones({4}, at::kDouble))), says("its gradient is Double [4] on cpu"));
  REQUIRE(support::refusal<precondition_error>([&] { (void)differentiable({a, at::Tensor()}, square_times); }) ==
          "differentiable: input 1 is undefined; expected a floating-point tensor");
  REQUIRE_THAT(support::refusal<precondition_error>(
                   [&] { (void)differentiable({at::ones({2, 2}, at::kInt), a}, square_times); }),
               says("input 0 is Int [2,2] on cpu"));
  REQUIRE_THAT(support::refusal<precondition_error>([&] { (void)differentiable({a, f}, square_times); }),
               says("b is Float"));  // the loss's own
}
