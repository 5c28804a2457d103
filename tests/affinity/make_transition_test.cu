// The same tests, compiled by nvcc: gpu is one of the backends. Its loops come after the stage here, and before it in
// path_affinity_test.cu: both orders must do.
#include <cambium/affinity/make_transition.hpp>

#include <cambium/exec/gpu.cuh>

#include "make_transition_test.cpp"
