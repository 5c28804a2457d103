#include "study/parts.hpp"

#include <cambium/core/error.hpp>

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

/// The claims that were asked for before the study: the papers' orderings, and the goals that were set for boxes.
struct asked {
  char const *less, *more;
  double margin = 0;
};
constexpr asked main_claims[] = {{"irnet:cam_components_ap50", "irnet:walk_components_ap50"},
                                 {"irnet:walk_components_ap50", "irnet:walk_displacement_ap50"},
                                 {"irnet:cam_miou", "irnet:walk_miou", 0.10},
                                 {"bestie/hard/no_guidance:ap50", "bestie/hard/guidance:ap50"},
                                 {"bestie/hard/guidance:ap50", "bestie/hard/refined:ap50"},
                                 {"bestie/hard/cam_peaks:ap50", "bestie/hard/refined:ap50"},
                                 {"bestie/hard/refined:ap50", "bestie/hard/points:ap50"},
                                 {"boxes/binary/1/exact_part:iou", "boxes/binary/1/bootstrapped:iou"},
                                 {"boxes/binary/3/exact_part:iou", "boxes/binary/3/bootstrapped:iou"},
                                 {"boxes/binary/6/exact_part:iou", "boxes/binary/6/bootstrapped:iou"},
                                 {"boxes/classes/6/exact_part:miou", "boxes/classes/6/bootstrapped:miou"},
                                 {"boxes/binary/18/exact_part:iou", "boxes/binary/18/bootstrapped:iou", -0.01},
                                 {"boxes/classes/18/exact_part:miou", "boxes/classes/18/bootstrapped:miou", -0.01},
                                 {"boxes/binary/exact:iou", "boxes/binary/18/bootstrapped:iou"},
                                 {"boxes/classes/exact:miou", "boxes/classes/18/bootstrapped:miou"}};

void mark_main_claims(std::vector<part>& parts)
{
  for (auto const& [less, more, margin] : main_claims) {
    bool found = false;
    for (auto& p : parts)
      for (auto& c : p.claims)
        if (c.less == less && c.more == more && c.margin == margin) c.main = found = true;
    cambium::expects(found, "study: there is no claim that ", more, " beats ", less);
  }
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
  mark_main_claims(out);
  std::vector<claim> claims;
  for (auto const& p : out) claims.insert(claims.end(), p.claims.begin(), p.claims.end());
  check_arms(arms_of(out));
  check_claims(arms_of(out), claims);
  return out;
}

}  // namespace trainer::study
