#pragma once
#include <cambium/io/rle.hpp>
