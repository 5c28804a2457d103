#include "golden_case.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

namespace conformance {

golden_case::golden_case(std::filesystem::path where) : folder(std::move(where))
{
  manifest = json::parse(std::ifstream(folder / "manifest.json"));
  system = manifest.at("system");
  stage = manifest.at("stage");
  label = manifest.at("case");
  params = manifest.at("params");
  degenerate = manifest.value("degenerate", false);
  for (auto const& a : manifest.at("arrays")) files_[a.at("name")] = a;
}

std::filesystem::path golden_case::path(std::string const& array) const
{
  auto const found = files_.find(array);
  if (found == files_.end()) throw cambium::io_error(name() + ": has no array '" + array + "'");
  return folder / found->second.at("file").get<std::string>();
}

numbers golden_case::read(std::string const& array) const
{
  auto const a = cambium::read_npy(path(array));
  numbers out{a.shape, {}};
  auto const n = static_cast<std::size_t>(a.size()), w = static_cast<std::size_t>(a.width);
  auto const convert = [&]<class T>(T v) {
    for (std::size_t i = 0; i < n; ++i) {
      std::memcpy(&v, a.data.data() + i * w, w);
      out.value.push_back(static_cast<double>(v));
    }
  };
  if (a.kind == 'f') w == 4 ? convert(float{}) : convert(double{});
  if (a.kind == 'b' || (a.kind == 'u' && w == 1)) convert(std::uint8_t{});
  if (a.kind == 'i')
    w == 1   ? convert(std::int8_t{})
    : w == 2 ? convert(std::int16_t{})
    : w == 4 ? convert(std::int32_t{})
             : convert(std::int64_t{});
  if (a.kind == 'u' && w > 1)
    w == 2 ? convert(std::uint16_t{}) : w == 4 ? convert(std::uint32_t{}) : convert(std::uint64_t{});
  return out;
}

namespace {

std::string place(std::size_t at, std::vector<index_t> const& shape)
{
  std::string text;
  for (std::size_t r = shape.size(); r-- > 0;) {
    auto const e = static_cast<std::size_t>(shape[r]);
    text = std::to_string(at % e) + (text.empty() ? "" : ",") + text;
    at /= e;
  }
  return "[" + text + "]";
}

std::vector<index_t> squeezed(std::vector<index_t> const& shape)
{
  std::vector<index_t> out;
  for (index_t const e : shape)
    if (e != 1) out.push_back(e);
  return out;
}

std::string text(double v)
{
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.9g", v);
  return buffer;
}

}  // namespace

void golden_case::compare(std::string const& array, numbers const& got)
{
  auto const found = files_.find(array);
  if (found == files_.end() || found->second.at("role") != "expected") return;
  seen_.insert(array);
  json const& rule = found->second.at("compare");
  std::string const mode = rule.at("mode");
  numbers const want = read(array);
  // (C,1,h,w) and (C,h,w) hold the same numbers
  if (squeezed(got.shape) != squeezed(want.shape)) {
    fail(array + ": " + std::to_string(got.value.size()) + " values of another shape, " +
         std::to_string(want.value.size()) + " expected");
    return;
  }
  std::vector<double> spared;
  if (mode == "exact_except") spared = read(rule.at("mask").get<std::string>()).value;
  double const atol = mode == "close" ? rule.value("atol", 0.0) : 0,
               rtol = mode == "close" ? rule.value("rtol", 0.0) : 0;
  // Where the original gives NaN, so must we; the rule is left out of most manifests that need it.
  bool const nan_equal = rule.value("nan_equal", true);
  if (mode != "close" && mode != "exact" && mode != "exact_except") {
    fail(array + ": unknown compare mode " + mode);
    return;
  }
  std::size_t wrong = 0, worst = 0;
  double excess = -1;
  for (std::size_t i = 0; i < want.value.size(); ++i) {
    double const g = got.value[i], w = want.value[i];
    if (!spared.empty() && spared[i] != 0) continue;
    if (std::isnan(w) && std::isnan(g) && nan_equal) continue;
    if (g == w) continue;
    double const over = std::isnan(g) || std::isnan(w) ? INFINITY : std::abs(g - w) - (atol + rtol * std::abs(w));
    if (over <= 0) continue;
    ++wrong;
    if (over > excess) excess = over, worst = i;
  }
  if (wrong > 0) {
    double const g = got.value[worst], w = want.value[worst];
    fail(array + ": " + std::to_string(wrong) + " of " + std::to_string(want.value.size()) + " differ, worst at " +
         place(worst, want.shape) + ": " + text(g) + " instead of " + text(w) + ", off by " + text(std::abs(g - w)) +
         (mode == "close" ? ", allowed " + text(atol + rtol * std::abs(w)) : ""));
  }
  if (mode == "close" && rule.contains("argmax_margin") && want.shape.size() >= 2) {
    double const margin = rule.at("argmax_margin");
    auto const channels = static_cast<std::size_t>(want.shape[0]);
    std::size_t const cells = channels == 0 ? 0 : want.value.size() / channels;
    std::size_t differ = 0;
    for (std::size_t i = 0; i < cells; ++i) {
      std::size_t g = 0, w = 0;
      double second = -INFINITY;
      for (std::size_t c = 1; c < channels; ++c) {
        if (got.value[c * cells + i] > got.value[g * cells + i]) g = c;
        if (want.value[c * cells + i] > want.value[w * cells + i]) w = c;
      }
      for (std::size_t c = 0; c < channels; ++c)
        if (c != w) second = std::max(second, want.value[c * cells + i]);
      differ += g != w && want.value[w * cells + i] - second > margin;
    }
    if (differ > 0) fail(array + ": argmax differs at " + std::to_string(differ) + " clear cells");
  }
}

void golden_case::result_tied(std::vector<std::string> const& arrays, std::vector<ranked> const& got,
                              std::vector<ranked> const& want, index_t most, std::vector<ranked> const& maxima)
{
  for (auto const& array : arrays) seen_.insert(array);
  if (got.size() != want.size()) {
    fail(arrays[0] + ": " + std::to_string(got.size()) + " maxima, " + std::to_string(want.size()) + " expected");
    return;
  }
  for (std::size_t begin = 0, end; begin < want.size(); begin = end) {
    auto const of_run = [&](ranked const& r) {
      return r.channel == want[begin].channel && r.score == want[begin].score;
    };
    for (end = begin; end < want.size() && of_run(want[end]);) ++end;
    auto const run = [&](std::vector<ranked> const& list) {
      std::vector<ranked> part(list.begin() + static_cast<std::ptrdiff_t>(begin),
                               list.begin() + static_cast<std::ptrdiff_t>(end));
      std::sort(part.begin(), part.end());
      return part;
    };
    auto const have = run(got), need = run(want);
    bool right = std::all_of(have.begin(), have.end(), of_run);
    if (want[begin].score != 0 && right) {
      std::vector<ranked> all;
      std::copy_if(maxima.begin(), maxima.end(), std::back_inserter(all), of_run);
      std::sort(all.begin(), all.end());
      auto const in_channel = std::count_if(want.begin(), want.begin() + static_cast<std::ptrdiff_t>(end),
                                            [&](ranked const& r) { return r.channel == want[begin].channel; });
      bool const cut = in_channel == most && all.size() > need.size();
      right = cut ? std::includes(all.begin(), all.end(), have.begin(), have.end()) &&
                        std::adjacent_find(have.begin(), have.end()) == have.end()
                  : have == need;
    }
    if (!right)
      fail(arrays[0] + ": other maxima of channel " + std::to_string(want[begin].channel) + " with score " +
           text(want[begin].score));
  }
}

void golden_case::result_text(std::string const& file, std::string const& content)
{
  for (auto const& entry : manifest.value("texts", json::array())) {
    if (entry.at("file") != file || entry.at("role") != "expected") continue;
    seen_.insert(file);
    std::string const mode = entry.at("compare").at("mode");
    if (mode != "exact" && mode != "lines_tied") return fail(file + ": unknown compare mode " + mode);
    auto const lines = [&](std::istream& in) {
      std::vector<std::string> out;
      for (std::string line; std::getline(in, line);) out.push_back(line);
      if (mode == "exact") return out;
      // Lines of one class and score lie side by side; sorted among themselves they compare as sets.
      auto const tie = [](std::string const& line) {
        auto const at = line.find(' ', line.find(' ') + 1);
        return at == std::string::npos ? line : line.substr(at);
      };
      for (auto first = out.begin(); first != out.end();) {
        auto const last = std::find_if(first, out.end(), [&](auto const& line) { return tie(line) != tie(*first); });
        std::sort(first, last);
        first = last;
      }
      return out;
    };
    std::ifstream expected(folder / file);
    std::istringstream own(content);
    auto const want = lines(expected), got = lines(own);
    if (got.size() != want.size())
      return fail(file + ": " + std::to_string(got.size()) + " lines, " + std::to_string(want.size()) + " expected");
    for (std::size_t i = 0; i < want.size(); ++i)
      if (got[i] != want[i])
        return fail(file + ": line " + std::to_string(i + 1) + " is '" + got[i] + "' instead of '" + want[i] + "'");
  }
}

void golden_case::finish()
{
  for (auto const& entry : manifest.value("texts", json::array()))
    if (entry.at("role") == "expected" && seen_.count(entry.at("file")) == 0)
      fail(entry.at("file").get<std::string>() + ": expected, but not computed");
  for (auto const& [array, entry] : files_)
    if (entry.at("role") == "expected" && seen_.count(array) == 0) fail(array + ": expected, but not computed");
}

}  // namespace conformance
