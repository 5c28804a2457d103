#pragma once

#include <cambium/exec/cpu.hpp>

namespace cambium {

/// Memory of reduce, scan and sort. It grows to the largest call, so calls on maps of one size allocate once. Only one
/// call may use it at a time.
template <class P>
class workspace {};  // cores need none

}  // namespace cambium
