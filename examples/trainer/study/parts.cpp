#include "study/parts.hpp"

namespace trainer::study {

std::vector<arm> arms_of(std::vector<part> const& parts)
{
  std::vector<arm> out;
  for (auto const& p : parts) out.insert(out.end(), p.arms.begin(), p.arms.end());
  return out;
}

std::vector<part> all_parts(study_size const& size)
{
  std::vector<part> out{irnet_part(size), bestie_part(size), boxes_part(size)};
  check_arms(arms_of(out));
  return out;
}

}  // namespace trainer::study
