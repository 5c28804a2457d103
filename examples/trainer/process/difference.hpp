#pragma once
// How two recipes differ, in words that a person reads at once.

#include <cctype>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace trainer {

/// Where two texts first differ, with the name before: {"...seed 1 steps 20...", "...seed 2 steps 20..."}. Short texts
/// are whole.
inline std::pair<std::string, std::string> difference(std::string const& a, std::string const& b)
{
  if (a.size() <= 80 && b.size() <= 80) return {a, b};
  auto const words_of = [](std::string const& text) {
    std::vector<std::string> out(1);
    for (char const c : text)
      if (c == ' ')
        out.emplace_back();
      else
        out.back() += c;
    return out;
  };
  auto const x = words_of(a), y = words_of(b);
  std::size_t at = 0;
  while (at < x.size() && at < y.size() && x[at] == y[at]) ++at;
  std::size_t from = at;  // values are numbers, mostly; a name stands before them
  for (std::size_t back = 0; from > 0 && back < 6; ++back)
    if (std::isalpha(static_cast<unsigned char>(x[--from][0])) != 0) break;
  auto const part = [&](std::vector<std::string> const& words) {
    std::string out = from > 0 ? "..." : "";
    std::size_t const end = at + 2 < words.size() ? at + 2 : words.size();
    for (std::size_t i = from; i < end; ++i) out += (i == from ? "" : " ") + words[i].substr(0, 60);
    return out + (end < words.size() ? "..." : "");
  };
  return {part(x), part(y)};
}

/// What stands in a recipe before 16 digits that tell contents of files from others: photographs, labels, first
/// weights. Recipes of earlier versions have none.
inline constexpr char contents_word[] = " contents ";

/// A recipe without its numbers of contents.
inline std::string without_contents(std::string words)
{
  std::size_t const n = sizeof contents_word - 1;
  for (std::size_t at = 0; (at = words.find(contents_word, at)) != std::string::npos;) words.erase(at, n + 16);
  return words;
}

enum class recipes {
  same,
  same_but_unrecorded,  ///< one of them does not say of which contents it is
  of_other_contents,
  others
};

inline recipes compared(std::string const& a, std::string const& b)
{
  if (a == b) return recipes::same;
  if (without_contents(a) != without_contents(b)) return recipes::others;
  return a.size() == b.size() ? recipes::of_other_contents : recipes::same_but_unrecorded;
}

/// Why a recipe is another one: "steps 10; now steps 20".
inline std::string reason_of(std::string const& was, std::string const& is)
{
  if (compared(was, is) == recipes::of_other_contents)
    return "the photographs, their labels or the first weights were others";
  auto const [then, now] = difference(without_contents(was), without_contents(is));
  return then + "; now " + now;
}

}  // namespace trainer
