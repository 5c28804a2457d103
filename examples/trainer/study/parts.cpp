#include "study/parts.hpp"

namespace trainer::study {

namespace {

/// What the history of the settings says. Add the seeds that you look at when you change one.
std::vector<choice> chosen_for(std::string const& part)
{
  if (part == "irnet")
    return {{"IRNet", {1, 2, 3}, "Results of these seeds were on earlier pages, before the last change of a setting."}};
  if (part == "bestie")
    return {{"BESTIE on the default scenes",
             {1, 2, 3},
             "Results of these seeds were on earlier pages, and the window of peaks, the size of the scenes they are "
             "searched in and the search without attention were chosen after that."},
            {"BESTIE on hard scenes",
             {11, 12},
             "The scenes were chosen on seed 11, by the pseudo labels; when refinement begins, on both."}};
  if (part == "boxes")
    return {{"Boxes", {11, 12, 13}, "Most settings were tried on seed 11 alone, some also on 12 and 13."}};
  return {};
}

}  // namespace

std::vector<arm> arms_of(std::vector<part> const& parts)
{
  std::vector<arm> out;
  for (auto const& p : parts) out.insert(out.end(), p.arms.begin(), p.arms.end());
  return out;
}

std::vector<part> all_parts(study_size const& size)
{
  std::vector<part> out{irnet_part(size), bestie_part(size), boxes_part(size)};
  for (auto& p : out) p.chosen = chosen_for(p.name);
  std::vector<claim> claims;
  for (auto const& p : out) claims.insert(claims.end(), p.claims.begin(), p.claims.end());
  check_arms(arms_of(out));
  check_claims(arms_of(out), claims);
  return out;
}

}  // namespace trainer::study
