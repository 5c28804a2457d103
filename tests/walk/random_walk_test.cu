// The same tests, compiled by nvcc: gpu is one of the backends.
#include <cambium/walk/random_walk.cuh>

#include "random_walk_test.cpp"
