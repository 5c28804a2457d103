// The same tests, compiled by nvcc: gpu is one of the backends.
#include <cambium/exec/gpu.cuh>

#include "geodesic_test.cpp"
