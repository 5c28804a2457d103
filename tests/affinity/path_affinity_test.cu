// The same tests, compiled by nvcc: path_affinity.cuh adds gpu to the backends under test.
#include <cambium/affinity/path_affinity.cuh>

#include "path_affinity_test.cpp"
