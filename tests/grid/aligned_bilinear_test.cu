// The same tests, compiled by nvcc: gpu is one of the backends.
#include <cambium/exec/gpu.cuh>

#include "aligned_bilinear_test.cpp"
