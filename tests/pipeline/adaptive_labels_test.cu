// The same tests, compiled by nvcc: gpu is one of the backends.
#include <cambium/exec/gpu.cuh>

#include "adaptive_labels_test.cpp"
