#include "study/published.hpp"

#include "study/page.hpp"
#include "study/results.hpp"

#include <algorithm>

namespace trainer::study {

using nlohmann::json;

namespace {

/// What differs between the claims of a file and the program's.
void compare_claims(json const& stored, json const& program, std::vector<std::string>& faults)
{
  auto const named = [](json const& list, std::string const& name) {
    return std::find_if(list.begin(), list.end(), [&](json const& c) { return c.at("name") == name; });
  };
  for (auto const& c : program) {
    auto const name = c.at("name").get<std::string>();
    auto const is = named(stored, name);
    if (is == stored.end()) {
      faults.push_back("claim \"" + name + "\" is one of the program's, and the file does not have it");
      continue;
    }
    for (auto const& [key, value] : c.items())
      if (is->at(key) != value)
        faults.push_back("claim \"" + name + "\": its " + key + " is " + is->at(key).dump() + "; the program's is " +
                         value.dump());
  }
  for (auto const& c : stored)
    if (named(program, c.at("name").get<std::string>()) == program.end())
      faults.push_back("claim " + c.at("name").dump() + " is none of the program's");
}

/// The first line in which two texts differ, counted from 1.
std::size_t differing_line(std::string const& a, std::string const& b)
{
  auto const at =
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size())), b.begin());
  return 1 + static_cast<std::size_t>(std::count(a.begin(), at.first, '\n'));
}

}  // namespace

std::vector<std::string> faults_of_published(std::string const& text, std::string const& page,
                                             std::string const& claims, std::string& remark)
{
  auto faults = faults_of(text);
  if (!faults.empty()) return faults;
  try {
    auto const all = json::parse(text);
    if (all.at("claims").empty()) faults.push_back("there is no claim");
    auto const note = all.value("note", std::string());
    if (!all.contains("parts")) {
      if (note.find("earlier program") == std::string::npos)
        faults.push_back("the file has no texts of a page, and no note says that an earlier program wrote it");
      else if (page.find(note) == std::string::npos)
        faults.push_back("its note does not stand on the page");
      else
        remark =
            "these are values of an earlier program, as the page says: its claims and its page were not compared "
            "with today's";
      return faults;
    }
    compare_claims(all.at("claims"), json::parse(claims), faults);
    auto const should = page_of(results_of(all));
    if (page != should)
      faults.push_back("the page beside it is not what it gives: line " + std::to_string(differing_line(page, should)) +
                       " differs");
  } catch (std::exception const& e) {
    faults.push_back(std::string("the file has another form: ") + e.what());
  }
  return faults;
}

}  // namespace trainer::study
