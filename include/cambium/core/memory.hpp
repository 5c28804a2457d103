#pragma once

#include <concepts>

namespace cambium {

// Where bytes live. A view carries its space in its type, so handing host
// memory to a kernel is a compile error and not a segmentation fault.
struct host {};
struct device {};

/// Specialised next to each policy: may code running under P dereference S?
template <class P, class S>
inline constexpr bool reaches_v = false;

/// A value that says where work runs and with which resources: `cpu`, `gpu`.
/// Copyable, cheap, and it names the memory its results live in as `P::memory`.
template <class P>
concept execution_policy = std::copyable<P> && requires { typename P::memory; };

/// Code running under P may dereference memory of space S.
///
///   static_assert( reaches<cpu, host>);
///   static_assert(!reaches<cpu, device>);
template <class P, class S>
concept reaches = execution_policy<P> && reaches_v<P, S>;

}  // namespace cambium
