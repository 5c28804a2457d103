// The same tests, compiled by nvcc: gpu is one of the backends. softmax_test.cpp stays with g++: nvcc 13.0 crashes on
// the vectors of the cpu's decide.
#include <cambium/exec/gpu.cuh>

#include "activation_rules_test.cpp"
#include "background_test.cpp"
#include "boundary_test.cpp"
#include "class_maps_test.cpp"
#include "fuse_test.cpp"
#include "normalise_test.cpp"
#include "peak_attention_test.cpp"
