// The same tests, compiled by nvcc: random_walk.cuh adds gpu to the backends under test.
#include <cambium/walk/random_walk.cuh>

#include "random_walk_test.cpp"
