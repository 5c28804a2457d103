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
  std::vector<part> const out{irnet_part(size), bestie_part(size), boxes_part(size)};
  std::vector<claim> claims;
  for (auto const& p : out) claims.insert(claims.end(), p.claims.begin(), p.claims.end());
  check_arms(arms_of(out));
  check_claims(arms_of(out), claims);
  return out;
}

}  // namespace trainer::study
