#pragma once

#include <concepts>

namespace cambium {

// The memory space of a view is part of its type. So host memory as an argument of a kernel is a compile error, not a
// segmentation fault.
struct host {};
struct device {};

/// Whether code that runs under P may dereference S. Each policy specialises it.
template <class P, class S>
inline constexpr bool reaches_v = false;

/// A value that says where work runs and with which resources: `cpu`, `gpu`. It is copyable and cheap. `P::memory` is
/// the memory space of its results.
template <class P>
concept execution_policy = std::copyable<P> && requires { typename P::memory; };

/// Code running under P may dereference memory of space S.
///
///   static_assert( reaches<cpu, host>);
///   static_assert(!reaches<cpu, device>);
template <class P, class S>
concept reaches = execution_policy<P> && reaches_v<P, S>;

}  // namespace cambium
