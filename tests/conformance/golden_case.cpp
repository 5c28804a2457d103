#include "golden_case.hpp"

#include <cmath>
#include <cstdio>
#include <fstream>

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

void golden_case::finish()
{
  for (auto const& [array, entry] : files_)
    if (entry.at("role") == "expected" && seen_.count(array) == 0) fail(array + ": expected, but not computed");
}

}  // namespace conformance
