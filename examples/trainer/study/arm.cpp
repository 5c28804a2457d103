#include "study/arm.hpp"

#include <cambium/core/error.hpp>

#include <algorithm>
#include <regex>
#include <set>

namespace trainer::study {

using cambium::expects;

namespace {

/// Appends what `name` needs, then the arm itself. @param above  the arms that led here
void append_with_needs(std::vector<arm> const& arms, std::string const& name, std::vector<std::string>& above,
                       std::vector<std::string>& out)
{
  expects(std::find(above.begin(), above.end(), name) == above.end(), "study: arm ", name, " needs itself");
  if (std::find(out.begin(), out.end(), name) != out.end()) return;
  above.push_back(name);
  for (auto const& need : arm_of(arms, name).needs) append_with_needs(arms, need, above, out);
  above.pop_back();
  out.push_back(name);
}

}  // namespace

arm const& arm_of(std::vector<arm> const& arms, std::string const& name)
{
  auto const at = std::find_if(arms.begin(), arms.end(), [&](arm const& a) { return a.name == name; });
  expects(at != arms.end(), "study: there is no arm ", name);
  return *at;
}

std::vector<std::string> with_needs(std::vector<arm> const& arms, std::vector<std::string> const& names)
{
  std::vector<std::string> above, out;
  for (auto const& name : names) append_with_needs(arms, name, above, out);
  return out;
}

std::string whole_recipe(std::vector<arm> const& arms, std::string const& name)
{
  std::string out = arm_of(arms, name).recipe;
  auto const chain = with_needs(arms, {name});
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) out += "; " + chain[i] + ": " + arm_of(arms, chain[i]).recipe;
  return out;
}

void check_arms(std::vector<arm> const& arms)
{
  std::set<std::string> names;
  static std::regex const form("[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*");
  for (auto const& a : arms) {
    expects(std::regex_match(a.name, form), "study: arm \"", a.name, "\": expected letters, digits and _ - . /");
    expects(names.insert(a.name).second, "study: there are two arms ", a.name);
    expects(static_cast<bool>(a.measure), "study: arm ", a.name, " has nothing that measures it");
  }
  for (auto const& a : arms) {
    auto const inside = names.lower_bound(a.name + "/");  // its folder would be emptied with that of `a`
    expects(inside == names.end() || inside->rfind(a.name + "/", 0) != 0, "study: the folder of arm ", a.name,
            " would hold that of ", inside == names.end() ? "" : *inside);
    (void)with_needs(arms, {a.name});
  }
}

void check_claims(std::vector<arm> const& arms, std::vector<claim> const& claims)
{
  std::set<std::string> names;
  for (auto const& c : claims) {
    expects(names.insert(c.name).second, "study: there are two claims \"", c.name, "\"");
    expects(!c.more.empty(), "study: claim \"", c.name, "\" is about no figure");
    for (auto const& figure : {c.less, c.more}) {
      auto const colon = figure.find(':');
      expects(figure.empty() || (colon != std::string::npos && colon + 1 < figure.size()), "study: claim \"", c.name,
              "\": ", figure, " is not ARM:FIGURE");
      expects(figure.empty() || std::any_of(arms.begin(), arms.end(),
                                            [&](arm const& a) { return a.name == figure.substr(0, colon); }),
              "study: claim \"", c.name, "\": there is no arm ", figure.substr(0, colon));
    }
  }
}

std::vector<std::string> matching(std::vector<arm> const& arms, std::string const& pattern)
{
  std::regex wanted;
  try {
    wanted = std::regex(pattern);
  } catch (std::regex_error const& e) {
    throw cambium::precondition_error("study: --arms " + pattern + " is no regular expression: " + e.what());
  }
  std::vector<std::string> out;
  for (auto const& a : arms)
    if (std::regex_search(a.name, wanted)) out.push_back(a.name);
  expects(!out.empty(), "study: --arms ", pattern, " matches no arm; --list shows them");
  return out;
}

}  // namespace trainer::study
