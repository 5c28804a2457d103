#pragma once
// Reading COCO's JSON files: data sets of instances, and lists of results. A plain file is read in one pass, its entries
// on all cores. Whatever is not plain is read as a tree.

#include <cambium/exec/parallel.hpp>
#include <cambium/io/coco_data.hpp>
#include <cambium/io/coco_pairs.hpp>
#include <cambium/io/coco_tree.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/json_scan.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cambium {

/// Read runs {"size": [height, width], "counts": text or list} of plain form. What a text says is left in `raw`.
[[nodiscard]] inline bool plain_runs(json_cursor& in, rle& out, std::string_view& raw)
{
  std::int64_t size[2];
  std::size_t sides = 0;
  bool counted = false;
  raw = {};
  bool const all = in.object([&](std::string_view key) {
    if (key == "size") return sides == 0 && in.list([&] { return sides < 2 && in.integer(size[sides++]); });
    if (key != "counts" || std::exchange(counted, true)) return false;
    if (in.next() == '"') return in.raw_text(raw) && !raw.empty();
    return in.list([&] { return in.integer(out.counts.emplace_back()); });
  });
  if (!all || !counted || sides != 2) return false;
  out.height = size[0], out.width = size[1];
  if (out.height < 0 || out.height > largest_side || out.width < 0 || out.width > largest_side) return false;
  return !raw.empty() || error_in(out).empty();
}

/// Read the counts of a mask from what stands between quotes. False if it is not plain.
/// @throws io_error as parse_counts
[[nodiscard]] inline bool read_raw_counts(std::string_view raw, rle& out)
{
  std::string text;  // of counts with a backslash, which JSON doubles
  for (std::size_t at = raw.find('\\'); at != std::string_view::npos; at = raw.find('\\')) {
    if (raw.substr(at, 2) != "\\\\") return false;
    text += raw.substr(0, at + 1);
    raw.remove_prefix(at + 2);
  }
  parse_counts_into(text.empty() ? raw : (text += raw), out, "");
  return true;
}

/// Read a result of plain form; its counts may be left in `raw`.
[[nodiscard]] inline bool plain_result(json_cursor in, coco_result& out, std::string_view& raw)
{
  unsigned seen = 0;
  auto const once = [&](unsigned field) { return (seen & field) == 0 && (seen |= field) != 0; };
  return in.object([&](std::string_view key) {
    if (key == "image_id") return once(1) && in.integer(out.image_id);
    if (key == "category_id") return once(2) && in.integer(out.category_id);
    if (key == "score") return once(4) && in.number(out.score);
    if (key == "segmentation") return once(8) && plain_runs(in, out.segmentation, raw);
    return json_cursor::is_plain(key) && in.ignore();
  }) && in.ends() &&
         seen == 15;
}

/// Read an annotation of plain form: with an id, a box and an area.
[[nodiscard]] inline bool plain_annotation(json_cursor in, coco_annotation& out)
{
  unsigned seen = 0;
  std::int64_t crowd = 0;
  auto const once = [&](unsigned field) { return (seen & field) == 0 && (seen |= field) != 0; };
  auto const corners = [&](std::vector<double>& xy) {
    return in.list([&] { return in.number(xy.emplace_back()) && std::abs(xy.back()) <= 4e8; }) && xy.size() >= 6 &&
           xy.size() % 2 == 0;
  };
  bool const all = in.object([&](std::string_view key) {
    if (key == "id") return once(1) && in.integer(out.id);
    if (key == "image_id") return once(2) && in.integer(out.image_id);
    if (key == "category_id") return once(4) && in.integer(out.category_id);
    if (key == "area") return once(8) && in.number(out.area) && out.area >= 0;
    if (key == "iscrowd") return once(32) && in.integer(crowd) && (crowd == 0 || crowd == 1);
    if (key == "bbox") {
      std::size_t n = 0;
      return once(16) && in.list([&] { return n < 4 && in.number(out.bbox[n++]); }) && n == 4;
    }
    if (key == "segmentation") {
      if (!once(64)) return false;
      if (in.next() == '{') {
        auto& mask = out.segmentation.emplace<rle>();
        std::string_view raw;
        return plain_runs(in, mask, raw) && (raw.empty() || read_raw_counts(raw, mask));
      }
      auto& parts = out.segmentation.emplace<coco_polygons>();
      return in.list([&] { return corners(parts.emplace_back()); }) && !parts.empty();
    }
    return json_cursor::is_plain(key) && in.ignore();
  });
  out.iscrowd = crowd == 1;
  return all && in.ends() && (seen & 31) == 31;
}

/// The text of a file behind a mark of UTF-8.
[[nodiscard]] inline std::string_view text_behind_mark(bytes const& file)
{
  std::string_view const all(reinterpret_cast<char const*>(file.data()), file.size());
  return all.substr(all.substr(0, 3) == "\xEF\xBB\xBF" ? 3 : 0);
}

/// Call read() of a file; nothing if it throws an error of the file. Then parse_coco_tree finds that error again.
template <class Read>
[[nodiscard]] auto unless_wrong(Read const& read) -> decltype(read())
{
  try {
    return read();
  } catch (io_error const&) {
  } catch (precondition_error const&) {
  } catch (nlohmann::json::exception const&) {
  }
  return std::nullopt;
}

/// Call one(i) for 0..count-1 on all cores.
template <class One>
void for_each_of_many(cpu const& where, std::size_t count, One const& one)
{
  for_each_share(where, static_cast<index_t>(count), 64, [&](index_t begin, index_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) one(i);
  });
}

/// The results of a file before their counts are read: raw[i] is the text of result i, empty if it has been read.
struct scanned_results {
  std::vector<coco_result> results;
  std::vector<std::string_view> raw;

  /// @throws io_error if the text is damaged or not plain
  void read_counts(std::size_t i, rle& out) const
  {
    out.height = results[i].segmentation.height, out.width = results[i].segmentation.width;
    if (!read_raw_counts(raw[i], out)) throw io_error("");
  }
};

/// Scan a list of results entry by entry, on all cores; nothing for a file with an error.
[[nodiscard]] inline std::optional<scanned_results> scan_results(cpu const& where, bytes const& file,
                                                                 std::string const& name)
{
  return unless_wrong([&]() -> std::optional<scanned_results> {
    std::vector<std::string_view> entries;
    json_cursor in(text_behind_mark(file));
    if (!in.spans(entries) || !in.ends()) return std::nullopt;
    scanned_results out{std::vector<coco_result>(entries.size()), std::vector<std::string_view>(entries.size())};
    for_each_of_many(where, entries.size(), [&](std::size_t i) {
      if (plain_result(json_cursor(entries[i]), out.results[i], out.raw[i])) return;
      auto const value = nlohmann::json::parse(entries[i]);
      if (!value.is_object()) throw io_error("");
      out.results[i] = result_of({value, name, "", i}), out.raw[i] = {};
    });
    return out;
  });
}

/// The same with all counts.
[[nodiscard]] inline std::optional<std::vector<coco_result>> scan_coco_results(cpu const& where, bytes const& file,
                                                                               std::string const& name)
{
  return unless_wrong([&]() -> std::optional<std::vector<coco_result>> {
    auto scanned = scan_results(where, file, name);
    if (!scanned) return std::nullopt;
    auto& [results, raw] = *scanned;
    // One thread takes the memory: malloc's arenas of other threads grow page by page.
    for (std::size_t i = 0; i < raw.size(); ++i)
      if (!raw[i].empty()) results[i].segmentation.counts.reserve(count_of_counts(raw[i]));
    for_each_of_many(where, raw.size(), [&](std::size_t i) {
      if (!scanned->raw[i].empty()) scanned->read_counts(i, scanned->results[i].segmentation);
    });
    return std::move(results);
  });
}

/// Read a data set entry by entry, annotations on all cores; nothing for a file with an error.
[[nodiscard]] inline std::optional<coco_dataset> scan_coco(cpu const& where, bytes const& file, std::string const& name)
{
  return unless_wrong([&]() -> std::optional<coco_dataset> {
    std::array<std::string, 3> const lists{"images", "categories", "annotations"};
    std::array<std::vector<std::string_view>, 3> entries;
    std::array<bool, 3> seen{};
    json_cursor in(text_behind_mark(file));
    bool const all = in.object([&](std::string_view key) {
      auto const which = static_cast<std::size_t>(std::find(lists.begin(), lists.end(), key) - lists.begin());
      if (which < 3) return !std::exchange(seen[which], true) && in.spans(entries[which]);
      std::string_view other;
      // in a text of its own, a NUL would be its end and a mark of UTF-8 its beginning
      return json_cursor::is_plain(key) && in.span(other) && other.find('\0') == std::string_view::npos &&
             other[0] != '\xEF' && nlohmann::json::accept(other);
    });
    if (!all || !in.ends() || seen != std::array{true, true, true}) return std::nullopt;
    auto const as_tree = [&](std::size_t which, std::size_t i) {
      auto value = nlohmann::json::parse(entries[which][i]);
      if (!value.is_object()) throw io_error("");
      return value;
    };
    coco_reader read;
    for (std::size_t i = 0; i < entries[0].size(); ++i) read.image({as_tree(0, i), name, lists[0], i});
    for (std::size_t i = 0; i < entries[1].size(); ++i) read.category({as_tree(1, i), name, lists[1], i});
    std::size_t const count = entries[2].size();
    if (count > 0) {  // other tools show in the first one
      auto const root = nlohmann::json{{"images", {}}, {"categories", {}}, {"annotations", {as_tree(2, 0)}}};
      if (!name_foreign_json(root).empty()) return std::nullopt;
    }
    std::vector<std::optional<coco_annotation>> plain(count);
    for_each_of_many(where, count, [&](std::size_t i) {
      if (!plain_annotation(json_cursor(entries[2][i]), plain[i].emplace())) plain[i].reset();
    });
    read.out.annotations.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
      if (!plain[i] || !read.plain(std::move(*plain[i]))) read.annotation({as_tree(2, i), name, lists[2], i});
    if (read.only_shares()) return std::nullopt;
    return std::move(read.out);
  });
}

/// Read a data set: `images`, `annotations`, `categories`.
///
/// Masks are polygons, compressed runs or lists of runs. A missing `iscrowd` is 0. A missing `bbox` is the mask's. A
/// missing `area` is the mask's, else the box's. null counts as missing. 1.0 is an integer. An empty `segmentation`
/// means no mask. An invalid box is kept, and `box_error` has its error: only its annotation is affected. Other fields
/// are ignored.
///
/// @throws io_error "name: annotations[12].segmentation: reason (id 17)": JSON that does not parse, a file of another
///         tool (by its name), missing fields, wrong types, ids that occur twice, references to missing ids, damaged
///         masks, masks whose size differs from their image's, boxes that are all fractions of their image's size
/// @source the format of cocodataset.org. PythonAPI/pycocotools/coco.py of cocodataset/cocoapi has no such checks
[[nodiscard]] inline coco_dataset parse_coco(cpu const& where, bytes const& file, std::string const& name)
{
  if (auto out = scan_coco(where, file, name)) return std::move(*out);
  return parse_coco_tree(file, name);
}
[[nodiscard]] inline coco_dataset parse_coco(bytes const& file, std::string const& name)
{
  return parse_coco(cpu{}, file, name);
}

[[nodiscard]] inline coco_dataset read_coco(std::filesystem::path const& path)
{
  return parse_coco(read_file(path), path.string());
}

/// Read a list of results: `image_id`, `category_id`, `segmentation` as runs, `score`.
/// @throws io_error "name: [12].segmentation: reason"
[[nodiscard]] inline std::vector<coco_result> parse_coco_results(cpu const& where, bytes const& file,
                                                                 std::string const& name)
{
  if (auto out = scan_coco_results(where, file, name)) return std::move(*out);
  return parse_coco_results_tree(file, name);
}
[[nodiscard]] inline std::vector<coco_result> parse_coco_results(bytes const& file, std::string const& name)
{
  return parse_coco_results(cpu{}, file, name);
}

[[nodiscard]] inline std::vector<coco_result> read_coco_results(std::filesystem::path const& path)
{
  return parse_coco_results(read_file(path), path.string());
}

/// Make the pairs of coco_ap from a file of results: as coco_pairs and parse_coco_results. Masks are decoded where they
/// are compared and not kept, which saves a third of the time and half of the memory.
[[nodiscard]] inline std::vector<coco_pair> parse_coco_pairs(cpu const& where, coco_dataset const& set,
                                                             bytes const& file, std::string const& name)
{
  auto pairs = unless_wrong([&]() -> std::optional<std::vector<coco_pair>> {
    auto const scanned = scan_results(where, file, name);
    if (!scanned) return std::nullopt;
    return coco_pairs_of(where, set, scanned->results, [&](std::size_t i, rle& scratch) -> rle const& {
      if (scanned->raw[i].empty()) return scanned->results[i].segmentation;
      scanned->read_counts(i, scratch);
      return scratch;
    });
  });
  return pairs ? std::move(*pairs) : coco_pairs(where, set, parse_coco_results_tree(file, name));
}

[[nodiscard]] inline std::vector<coco_pair> read_coco_pairs(cpu const& where, coco_dataset const& set,
                                                            std::filesystem::path const& path)
{
  return parse_coco_pairs(where, set, read_file(path), path.string());
}

}  // namespace cambium
