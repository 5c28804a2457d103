#pragma once
// What is published: docs/results.json and docs/results.md, beside the claims of the program.

#include <string>
#include <vector>

namespace trainer::study {

/// The faults of results.json by itself (faults_of), and beside what belongs to it: the set of claims is the program's,
/// and the page is, byte by byte, what the file gives.
///
/// Results of an earlier program have neither the texts of a page nor the same claims. They pass by themselves if their
/// note says so and stands on the page.
///
/// @param results  text of results.json
/// @param page     text of results.md
/// @param claims   text of study/claims.json
/// @param remark   gets a sentence where something was not compared
[[nodiscard]] std::vector<std::string> faults_of_published(std::string const& results, std::string const& page,
                                                           std::string const& claims, std::string& remark);

}  // namespace trainer::study
