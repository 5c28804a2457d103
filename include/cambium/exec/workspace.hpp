#pragma once

#include <cambium/exec/cpu.hpp>

namespace cambium {

/// Memory that reduce, scan and sort work in. It grows to the largest call, so that calls on maps of one size allocate
/// once. One call at a time.
template <class P>
class workspace {};  // cores need none

}  // namespace cambium
