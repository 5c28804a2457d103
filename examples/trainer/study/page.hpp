#pragma once
// What a study found, as docs/results.md: for readers who have not read the papers.

#include "study/arm.hpp"
#include "study/results.hpp"

#include <string>
#include <vector>

namespace trainer::study {

/// @return markdown
[[nodiscard]] std::string page_of(results const& all, std::vector<part> const& parts, study_size const& size);

/// Of what json_of keeps.
[[nodiscard]] std::string page_of(results const& all);

}  // namespace trainer::study
