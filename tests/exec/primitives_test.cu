// The same tests, compiled by nvcc: the primitives of a device.
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/reduce.cuh>
#include <cambium/exec/scan.cuh>
#include <cambium/exec/sort.cuh>

#include "primitives_test.cpp"
