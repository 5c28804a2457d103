#pragma once
// Running sums of integers, on cores. exec/gpu.cuh has the gpu's.

#include <cambium/core/index.hpp>
#include <cambium/core/memory.hpp>
#include <cambium/exec/workspace.hpp>

#include <concepts>

namespace cambium {

/// out[i] = in[0] + ... + in[i-1]. Both are in the policy's memory and may be the same.
///
/// @complexity   Theta(count)
/// @determinism  exact: integers only
template <class P, std::integral T, std::integral U>
  requires std::same_as<typename P::memory, host>
void exclusive_scan(P const&, index_t count, T const* in, U* out, workspace<P>&)
{
  U sum = 0;
  for (index_t i = 0; i < count; ++i) {
    U const here = static_cast<U>(in[i]);
    out[i] = sum;
    sum = static_cast<U>(sum + here);
  }
}

}  // namespace cambium
