#pragma once
// random_walk on a GPU: the rule of random_walk.hpp under the loop of for_each_cell.cuh.

#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/walk/random_walk.hpp>
