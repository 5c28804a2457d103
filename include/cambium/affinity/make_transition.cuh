#pragma once
// make_transition on a GPU: the rule of make_transition.hpp under the loop of for_each_cell.cuh.

#include <cambium/affinity/make_transition.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
