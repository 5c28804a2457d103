#pragma once
// BESTIE, whole: cues of class maps, pseudo labels of cues, refined labels and instances of a network's output.

#include <cambium/pipeline/bestie/cues.hpp>
#include <cambium/pipeline/bestie/grouping.hpp>
#include <cambium/pipeline/bestie/instances.hpp>
#include <cambium/pipeline/bestie/pseudo_labels.hpp>
#include <cambium/pipeline/bestie/refine.hpp>
#include <cambium/pipeline/bestie/regions.hpp>
