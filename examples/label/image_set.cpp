#include "image_set.hpp"

#include <cambium/io/file.hpp>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

namespace labelling {

namespace fs = std::filesystem;

std::string fill(std::string const& path_template, std::string const& id)
{
  std::string out = path_template;
  for (std::size_t at = 0; (at = out.find("{id}", at)) != std::string::npos; at += id.size()) out.replace(at, 4, id);
  return out;
}

std::vector<std::pair<int, std::string>> lines_of(std::string const& path)
{
  auto const content = cambium::read_file(path);
  std::istringstream text(std::string(content.begin(), content.end()));
  std::vector<std::pair<int, std::string>> out;
  std::string line;
  for (int n = 1; std::getline(text, line); ++n) {
    line.erase(std::find(line.begin(), line.end(), '#'), line.end());
    auto const first = line.find_first_not_of(" \t\r"), last = line.find_last_not_of(" \t\r");
    if (first != std::string::npos) out.emplace_back(n, line.substr(first, last - first + 1));
  }
  return out;
}

namespace {

/// An id becomes part of the names of files we write: it must stay below --out.
void check_id(std::string const& id, std::string const& where)
{
  fs::path const p(id);
  bool bad = id.empty() || p.is_absolute() || id.find('\\') != std::string::npos;
  for (auto const& part : p) bad = bad || part == ".." || part == "." || part.empty();
  for (unsigned char const c : id) bad = bad || c < 32;
  if (bad) throw usage_error(where + ": '" + id + "' cannot be an id: it would name a file outside the output folder");
}

/// Ids whose image exists: the component of the template with the first {id} is matched against its folder.
std::vector<std::string> discover(std::string const& path_template)
{
  auto const at = path_template.find("{id}");
  auto const slash = path_template.rfind('/', at);
  std::string const folder =
      slash == std::string::npos ? "." : path_template.substr(0, std::max<std::size_t>(slash, 1));
  std::size_t const begin = slash == std::string::npos ? 0 : slash + 1;
  std::string const component = path_template.substr(begin, path_template.find('/', at) - begin);
  std::string const before = component.substr(0, at - begin), rest = component.substr(at - begin + 4);
  std::string const after = rest.substr(0, rest.find("{id}"));
  std::error_code failure;
  std::vector<std::string> ids;
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end; entry.increment(failure)) {
    std::string const name = entry->path().filename().string();
    if (name.size() <= before.size() + after.size() || name.compare(0, before.size(), before) != 0) continue;
    // with a second {id} in the component the id ends where its text begins to repeat: try every length
    for (std::size_t n = 1; before.size() + n <= name.size(); ++n) {
      std::string const id = name.substr(before.size(), n);
      if (fill(component, id) == name && fs::exists(fill(path_template, id), failure)) ids.push_back(id);
    }
  }
  if (failure) throw usage_error(folder + ": " + failure.message());
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace

std::vector<int> image_set::classes(std::string const& id, std::int64_t channels, std::string const& tags_file) const
{
  std::vector<int> out;
  if (tagged) {
    auto const found = tags.find(id);
    if (found == tags.end()) throw cambium::io_error(tags_file + ": has no line for '" + id + "'");
    out = found->second;
    if (static_cast<std::int64_t>(out.size()) != channels)
      throw cambium::io_error(tags_file + ": names " + std::to_string(out.size()) + " classes for '" + id +
                              "', but its CAM has " + std::to_string(channels) + " channels");
    return out;
  }
  for (int c = 1; c <= channels; ++c) out.push_back(c);
  return out;
}

std::map<std::string, std::vector<int>> read_tags(std::string const& path, bool zero_based)
{
  std::map<std::string, std::vector<int>> tags;
  for (auto const& [n, line] : lines_of(path)) {
    std::string const where = path + ":" + std::to_string(n) + ": ";
    std::istringstream words(line);
    std::string id, word;
    words >> id;
    std::vector<int> classes;
    while (words >> word) {
      char* end = nullptr;
      long const tag = std::strtol(word.c_str(), &end, 10);
      long const label = zero_based && tag <= 254 ? tag + 1 : tag;
      if (*end != '\0') throw usage_error(where + "'" + word + "' is not a class number");
      if (label < 1 || label > 254)
        throw usage_error(where + "class " + word + " is outside " + (zero_based ? "0..253" : "1..254") +
                          (tag == 0 ? "; do the classes count from 0? Then say --zero-based" : ""));
      if (std::find(classes.begin(), classes.end(), label) != classes.end())
        throw usage_error(where + "class " + word + " is named twice");
      classes.push_back(static_cast<int>(label));
    }
    if (!tags.emplace(id, classes).second) throw usage_error(where + "'" + id + "' has two lines");
  }
  return tags;
}

image_set find_images(std::string const& ids, std::string const& path_template, std::string const& tags,
                      bool zero_based)
{
  image_set set;
  if (ids.empty()) {
    set.ids = discover(path_template);
    if (set.ids.empty()) throw usage_error("no file matches " + path_template);
  } else {
    std::set<std::string> seen;
    for (auto const& [n, line] : lines_of(ids)) {
      std::string const where = ids + ":" + std::to_string(n);
      check_id(line, where);
      if (!seen.insert(line).second) throw usage_error(where + ": '" + line + "' is listed twice");
      set.ids.push_back(line);
    }
    if (set.ids.empty()) throw usage_error(ids + ": lists no image");
  }

  set.tagged = !tags.empty();
  if (set.tagged) set.tags = read_tags(tags, zero_based);

  std::set<std::int64_t> distinct;
  for (auto const& id : set.ids) {
    bool const digits = !id.empty() && id.size() <= 15 && id.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) break;
    distinct.insert(std::stoll(id));
  }
  bool const own = distinct.size() == set.ids.size();
  for (std::size_t i = 0; i < set.ids.size(); ++i)
    set.numbers_.push_back(own ? std::stoll(set.ids[i]) : static_cast<std::int64_t>(i + 1));
  return set;
}

}  // namespace labelling
