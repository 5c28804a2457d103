#pragma once
// Catch2 3 or 2, whichever is installed, and nothing else: this is compiled once for all tests.

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
