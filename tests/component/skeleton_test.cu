// The same tests, compiled by nvcc: gpu is one of the backends.
#include <cambium/exec/gpu.cuh>

#include "skeleton_test.cpp"
