#pragma once
// Masks that know no classes, and the classes that weak labels give them.

#include <cambium/exec/cpu.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/proposal/nms.hpp>
#include <cambium/proposal/vote.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace labelling {

/// The proposals of one image.
struct image_proposals {
  cambium::mask_set<> masks;
  std::vector<double> scores;
  std::size_t read = 0;  ///< how many the file has
};

/// Masks with a class and a score each.
struct chosen_masks {
  std::vector<std::int32_t> categories;  ///< from 0; -1: none
  std::vector<double> scores;

  chosen_masks() = default;
  /// No mask has a class.
  explicit chosen_masks(std::size_t masks) : categories(masks, -1), scores(masks, 0) {}
  /// The classes of votes. @param of  scores of the masks
  chosen_masks(std::vector<cambium::mask_vote> const& votes, std::vector<double> const& of) : chosen_masks(of.size())
  {
    for (std::size_t i = 0; i < votes.size(); ++i)
      if (votes[i].category >= 0) categories[i] = votes[i].category, scores[i] = votes[i].score * of[i];
  }

  /// Give a mask a class; where two want it, it goes to the one of the higher score, then to the first.
  /// @param which  -1: none
  void take(std::vector<double> const& of, cambium::index_t which, std::int32_t category, double score)
  {
    if (which < 0) return;
    auto const i = static_cast<std::size_t>(which);
    score *= of[i];
    if (categories[i] >= 0 && scores[i] >= score) return;
    categories[i] = category, scores[i] = score;
  }

  /// Whether the mask that a box or a point wanted is of its class.
  bool has(cambium::index_t which, std::int32_t category) const
  {
    return which >= 0 && categories[static_cast<std::size_t>(which)] == category;
  }

  /// Of masks of one class that overlap much the best one keeps its class. Masks without a class suppress nothing.
  void keep_the_best(cambium::cpu const& where, cambium::mask_set<> const& masks, cambium::nms_options const& options)
  {
    std::vector<cambium::index_t> places;
    for (std::size_t i = 0; i < categories.size(); ++i)
      if (categories[i] >= 0) places.push_back(static_cast<cambium::index_t>(i));
    std::vector<double> scores_of;
    std::vector<std::int32_t> categories_of;
    for (auto const place : places) {
      auto const i = static_cast<std::size_t>(place);
      scores_of.push_back(scores[i]);
      categories_of.push_back(categories[i]);
      categories[i] = -1;
    }
    for (auto const k : mask_nms(where, select_masks(masks, places), scores_of, options, categories_of)) {
      auto const i = static_cast<std::size_t>(k);
      categories[static_cast<std::size_t>(places[i])] = categories_of[i];
    }
  }
};

}  // namespace labelling
