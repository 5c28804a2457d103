// The same tests, compiled by nvcc: make_transition.cuh adds gpu to the backends under test.
#include <cambium/affinity/make_transition.cuh>

#include "make_transition_test.cpp"
