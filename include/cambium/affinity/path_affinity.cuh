#pragma once
// path_affinity on a GPU: the rule of path_affinity.hpp under the loop of for_each_cell.cuh.

#include <cambium/affinity/path_affinity.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
