#pragma once
// Images of one size with walks of their own, and the walk of one by the rule.

#include <cambium/affinity/make_transition.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/walk/step.hpp>

#include "support/random.hpp"

#include <algorithm>
#include <utility>

namespace support {

using namespace cambium;

struct walk_batch {
  stencil edges;
  grid<float, 4> seeds, weight;
  grid<float, 3> inverse;

  walk_batch(index_t B, index_t C, index_t H, index_t W, stencil const& s, unsigned seed)
      : edges(s), seeds(uniform<float, 4>({B, C, H, W}, 0, 1, seed)), weight(B, s.size, H, W), inverse(B, H, W)
  {
    for (index_t b = 0; b < B; ++b) {
      auto const affinity = uniform<float, 3>({s.size, H, W}, 0, 1, seed + 7 + static_cast<unsigned>(b));
      auto const t = make_transition(cpu{.threads = 1}, s, affinity, {.beta = 3});
      std::copy(t.weight.cells().begin(), t.weight.cells().end(), weight.data() + b * s.size * H * W);
      std::copy(t.inverse_degree.cells().begin(), t.inverse_degree.cells().end(), inverse.data() + b * H * W);
    }
  }

  transition<float> of(index_t b) const
  {
    auto const [B, K, H, W] = weight.shape();
    transition<float> t{edges, make_grid<float>({K, H, W}), make_grid<float>({H, W})};
    std::copy_n(weight.data() + b * K * H * W, K * H * W, t.weight.data());
    std::copy_n(inverse.data() + b * H * W, H * W, t.inverse_degree.data());
    return t;
  }
};

inline grid<float, 3> by_rule(grid<float, 4> const& seeds, index_t b, transition<float> const& t, index_t steps)
{
  auto const [B, C, H, W] = seeds.shape();
  auto from = make_grid<float>({C, H, W}), to = make_grid<float>({C, H, W});
  std::copy_n(seeds.data() + b * C * H * W, C * H * W, from.data());
  for (index_t s = 0; s < steps; ++s) {
    for_each_cell(cpu{.threads = 1}, {C, H, W}, rule::walk_step<float, host>{t.view(), from, to});
    std::swap(from, to);
  }
  return from;
}

}  // namespace support
