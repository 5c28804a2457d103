#pragma once
// One seed for everything a run does by chance.

#include "data/random.hpp"

#include <ATen/Context.h>

#include <cstdint>

namespace trainer {

/// What a part of a run draws its numbers for; two parts with one seed do not see the same numbers.
enum class chance : std::uint64_t { weights = 1, order, augmentation, dropout, sampling, scenes };

/// Seeds torch's generators from one number and asks torch for deterministic algorithms. Where an operator has none,
/// torch throws and names it; `warn_only` makes that a warning.
///
/// @determinism with the same seed, build and number of threads a run on the CPU gives the same bits
/// @source      step/train_*.py of jiwoon-ahn/irn seeds nothing; main.py of clovaai/BESTIE seeds torch, numpy and
///              random with one number and leaves the algorithms free
inline void seed_everything(std::uint64_t seed, bool deterministic = true, bool warn_only = false)
{
  at::manual_seed(seed_of(seed, static_cast<std::uint64_t>(chance::weights)));
  at::globalContext().setDeterministicAlgorithms(deterministic, warn_only);
}

/// The seed of one item's chance: of epoch, item, purpose. Independent of the order in which items are made.
[[nodiscard]] constexpr std::uint64_t item_seed(std::uint64_t seed, chance purpose, std::uint64_t epoch,
                                                std::uint64_t item) noexcept
{
  return seed_of(seed, static_cast<std::uint64_t>(purpose), epoch, item);
}

}  // namespace trainer
