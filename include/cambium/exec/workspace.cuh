#pragma once
// What primitives work in on a device. The host's sibling is workspace.hpp.

#include <cambium/exec/gpu.hpp>
#include <cambium/exec/workspace.hpp>

#include <utility>

namespace cambium {

template <>
class workspace<gpu> {
 public:
  /// At least so many bytes, for work enqueued on where.stream from now on.
  void* bytes(gpu const& where, std::size_t size)
  {
    bytes_.reserve(where, size);
    return bytes_.data();
  }

 private:
  device_bytes bytes_;
};

/// Runs a call of CUB's, which is asked for its need first: call(memory, bytes) -> cudaError_t.
template <class Call>
void with_workspace(gpu const& where, workspace<gpu>& space, char const* what, Call const& call)
{
  std::size_t need = 0;
  throw_if_failed(call(static_cast<void*>(nullptr), need), what);
  void* const memory = space.bytes(where, need > 0 ? need : 1);
  throw_if_failed(call(memory, need), what);
}

}  // namespace cambium
