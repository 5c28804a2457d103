#pragma once
// What tests need of Catch2.
//
// It comes after cambium's headers: those are silent under -Wsign-conversion, while tests index with whatever is at
// hand.
#pragma GCC diagnostic ignored "-Wsign-conversion"

#include "support/catch2.hpp"

#include <string>

#if __has_include(<catch2/catch_all.hpp>)
using Catch::Approx;
#define CAMBIUM_THROWS_SAYING(expression, type, words) \
  CHECK_THROWS_MATCHES(expression, type, Catch::Matchers::MessageMatches(Catch::Matchers::ContainsSubstring(words)))
/// For CHECK_THROWS_WITH: the message contains these words.
inline auto says(std::string const& words) { return Catch::Matchers::ContainsSubstring(words); }
#else
#define CAMBIUM_THROWS_SAYING(expression, type, words)                                  \
  CHECK_THROWS_MATCHES(expression, type, Catch::Predicate<type>([&](type const& caught) { \
                         UNSCOPED_INFO("message: " << caught.what());                   \
                         return std::string(caught.what()).find(words) != std::string::npos; \
                       }))
/// For CHECK_THROWS_WITH: the message contains these words.
inline auto says(std::string const& words) { return Catch::Matchers::Contains(words); }
#endif
