// The same tests, compiled by nvcc: gpu is one of the backends.
#include <cambium/exec/gpu.cuh>

#include "../grid/mask_set_test.cpp"
#include "paint_test.cpp"
#include "pairwise_test.cpp"
#include "stability_test.cpp"
