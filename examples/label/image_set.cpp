#include "image_set.hpp"

#include <cambium/io/file.hpp>
#include <cambium/io/text.hpp>
#include <cambium/io/voc.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>

namespace labelling {

namespace fs = std::filesystem;

std::string fill(std::string const& path_template, std::string const& id)
{
  std::string out = path_template;
  for (std::size_t at = 0; (at = out.find("{id}", at)) != std::string::npos; at += id.size()) out.replace(at, 4, id);
  return out;
}

bool is_there(fs::path const& path)
{
  std::error_code failure;
  return fs::symlink_status(path, failure).type() != fs::file_type::not_found;
}

std::string quoted_id(std::string const& id)
{
  std::string bytes;
  bool plain = true;
  for (unsigned char const c : id) {
    if (c < 128) {
      bytes += static_cast<char>(c);
      continue;
    }
    plain = false;
    bytes += std::string("\\x") + "0123456789ABCDEF"[c >> 4] + "0123456789ABCDEF"[c & 15];
  }
  return "'" + id + "'" + (plain ? "" : " (" + bytes + ")");
}

bool is_utf8(std::string const& text)
{
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (nlohmann::json::exception const&) {
    return false;
  }
}

std::string why_no_id(std::string const& id)
{
  fs::path const p(id);
  bool bad = id.empty() || p.is_absolute() || id.find('\\') != std::string::npos;
  for (auto const& part : p) bad = bad || part == ".." || part == "." || part.empty();
  if (std::any_of(id.begin(), id.end(), [](unsigned char c) { return c < 32; }))
    return "'" + id + "' holds control characters";
  if (id.find("//") != std::string::npos) return "'" + id + "' has two slashes in a row: a second id of the same files";
  return bad ? "'" + id + "' cannot be an id: it would name a file outside the output folder" : "";
}

namespace {

std::string in_small_letters(std::string text)
{
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

/// Files that look like images of a template but are none.
struct left_out {
  std::size_t count = 0;
  std::string first;

  void add(std::string const& name)
  {
    if (count++ == 0 || name < first) first = name;
  }
  void say(std::string const& path_template, char const* what) const
  {
    if (count > 0)
      std::fprintf(stderr, "note: %s: %zu %s %s %s left out: %s%s\n", path_template.c_str(), count,
                   count == 1 ? "file" : "files", what, count == 1 ? "is" : "are", first.c_str(),
                   count > 1 ? ", ..." : "");
  }
};

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
  left_out capitals, unopened;
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end; entry.increment(failure)) {
    std::string const name = entry->path().filename().string();
    if (name.size() <= before.size() + after.size()) continue;
    if (in_small_letters(name.substr(0, before.size())) != in_small_letters(before)) continue;
    // with a second {id} in the component the id ends where its text begins to repeat: try every length
    for (std::size_t n = 1; before.size() + n <= name.size(); ++n) {
      std::string const id = name.substr(before.size(), n), same = fill(component, id);
      if (same != name) {
        if (same.size() == name.size() && in_small_letters(same) == in_small_letters(name)) capitals.add(name);
        continue;
      }
      fs::path const path = fill(path_template, id);
      std::error_code unreadable;
      if (fs::exists(path, unreadable))
        ids.push_back(id);
      else if (is_there(path))
        unopened.add(path.string());
    }
  }
  if (failure) throw usage_error(folder + ": " + failure.message());
  std::sort(ids.begin(), ids.end());
  capitals.say(path_template, "with other capitals");
  unopened.say(path_template, "that cannot be opened");
  return ids;
}

}  // namespace

std::vector<int> image_set::classes(std::string const& id, std::int64_t channels, std::string const& tags_file) const
{
  std::vector<int> out;
  if (tagged) {
    auto const found = tags.find(id);
    if (found == tags.end()) throw cambium::io_error(tags_file + ": has no line for " + quoted_id(id));
    out = found->second;
    if (static_cast<std::int64_t>(out.size()) != channels)
      throw cambium::io_error(tags_file + ": names " + std::to_string(out.size()) + " classes for '" + id +
                              "', but its CAM has " + std::to_string(channels) + " channels");
    return out;
  }
  for (int c = 1; c <= channels; ++c) out.push_back(c);
  return out;
}

namespace {

/// Tags, not flags; where the numbers do not say which, a note does.
void demand_tags(std::vector<cambium::id_line> const& lines, std::string const& path)
{
  auto const numbers = cambium::voc_numbers_of(lines, path);
  if (numbers == cambium::voc_numbers::flags)
    throw usage_error(path + ": " + cambium::voc_flags_words + "; if these are classes, say --tags-are-classes");
  if (numbers == cambium::voc_numbers::either)
    std::fprintf(stderr,
                 "note: %s: every image is tagged with class 1 alone. If these are flags of one class, as in VOC's "
                 "ImageSets/Main, they are no tags; if they are classes, --tags-are-classes ends this note.\n",
                 path.c_str());
}

}  // namespace

namespace {

/// @throws usage_error: the word is no class, or one that was named before
void add_class(std::vector<int>& classes, std::string_view view, std::string const& where, tag_numbers how)
{
  std::string const word(view);
  long tag = 0;
  auto const [stop, failure] = std::from_chars(view.data(), view.data() + view.size(), tag);
  long const label = how.zero_based && tag <= 254 ? tag + 1 : tag;
  if (failure == std::errc::invalid_argument || stop != view.data() + view.size())
    throw usage_error(where + "'" + word + "' is not a class number");
  if (failure != std::errc{} || label < 1 || label > 254)
    throw usage_error(
        where + "class " + word + " is outside " + (how.zero_based ? "0..253" : "1..254") +
        (failure == std::errc{} && tag == 0 ? "; do the classes count from 0? Then say --zero-based" : ""));
  if (std::find(classes.begin(), classes.end(), label) != classes.end())
    throw usage_error(where + "class " + word + " is named twice");
  classes.push_back(static_cast<int>(label));
}

}  // namespace

std::vector<int> parse_classes(cambium::bytes const& file, std::string const& path, tag_numbers how)
{
  std::vector<int> out;
  try {
    for (auto const& line : cambium::words_of(file, path))
      for (auto const word : line.words) add_class(out, word, path + ": ", how);
  } catch (usage_error const& e) {
    throw cambium::io_error(e.what());  // of one image
  }
  return out;
}

tag_lines read_tags(std::string const& path, std::vector<std::string> const& ids, tag_numbers how)
{
  std::set<std::string> const there(ids.begin(), ids.end());
  auto const content = cambium::read_file(path);
  auto const lines = cambium::read_id_lines(content, path, [&](std::string const& id) { return there.contains(id); });
  if (!how.classes) demand_tags(lines, path);
  tag_lines out;
  std::string wrong, others;  // what is wrong first, and further numbers of lines
  std::size_t more = 0;
  for (auto const& line : lines) {
    if (!there.contains(line.id)) {
      out.others.emplace_back(line.text);
      continue;
    }
    std::string const where = path + ":" + std::to_string(line.number) + ": ";
    try {
      std::vector<int> classes;
      for (auto const word : line.words) add_class(classes, word, where, how);
      if (!out.of.emplace(line.id, classes).second) throw usage_error(where + "'" + line.id + "' has two lines");
    } catch (usage_error const& e) {
      if (wrong.empty())
        wrong = e.what();
      else if (++more <= 10)
        others += (more > 1 ? ", " : "") + std::to_string(line.number);
    }
  }
  if (more > 0) wrong += "; lines that are wrong, too: " + others + (more > 10 ? ", ..." : "");
  if (!wrong.empty()) throw usage_error(wrong);
  return out;
}

std::vector<std::string> read_names(std::string const& path)
{
  std::vector<std::string> out;
  auto const content = cambium::read_file(path);
  for (auto const& line : cambium::lines_of(content, path)) {
    std::string name(cambium::trimmed(line.text.substr(0, cambium::comment_of(line.text))));
    if (name.empty()) continue;
    if (std::find(out.begin(), out.end(), name) != out.end())
      throw usage_error(path + ":" + std::to_string(line.number) + ": '" + name + "' is named twice");
    out.push_back(std::move(name));
  }
  if (out.empty()) throw usage_error(path + ": names no class");
  return out;
}

std::optional<std::int64_t> number_of_digits(std::string const& text)
{
  if (text.empty() || text.size() > 15 || text.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  return std::stoll(text);
}

std::optional<std::int64_t> number_in(std::string const& id)
{
  return number_of_digits(fs::path(id).filename().string());  // COCO's 000000397133, perhaps in a folder
}

std::vector<std::int64_t> numbers_of(std::vector<std::string> const& ids)
{
  std::vector<std::int64_t> out;
  std::set<std::int64_t> distinct;
  for (auto const& id : ids) {
    auto const number = number_in(id);
    if (!number || !distinct.insert(*number).second) break;
    out.push_back(*number);
  }
  if (out.size() == ids.size()) return out;
  out.clear();
  for (std::size_t i = 0; i < ids.size(); ++i) out.push_back(static_cast<std::int64_t>(i + 1));
  return out;
}

image_set find_images(std::string const& ids, std::string const& path_template, std::string const& tags,
                      tag_numbers how)
{
  image_set set;
  if (ids.empty()) {
    set.ids = discover(path_template);
    if (set.ids.empty()) throw usage_error("no file matches " + path_template);
    for (auto const& id : set.ids)
      if (std::any_of(id.begin(), id.end(), [](unsigned char c) { return c < 32; }))
        throw usage_error(path_template + ": '" + id + "' holds control characters; give its file another name");
  } else {
    std::set<std::string> seen;
    auto const content = cambium::read_file(ids);
    auto const there = [&](std::string const& id) {
      std::error_code failure;
      return fs::exists(fill(path_template, id), failure);
    };
    for (auto const& line : cambium::read_id_lines(content, ids, there, cambium::id_lines_of::ids)) {
      std::string const where = ids + ":" + std::to_string(line.number);
      if (auto const why = why_no_id(line.id); !why.empty()) throw usage_error(where + ": " + why);
      if (!seen.insert(line.id).second) throw usage_error(where + ": '" + line.id + "' is listed twice");
      set.ids.push_back(line.id);
    }
    if (set.ids.empty()) throw usage_error(ids + ": lists no image");
  }

  set.tagged = !tags.empty();
  if (set.tagged) {
    auto lines = read_tags(tags, set.ids, how);
    set.tags = std::move(lines.of);
    if (set.tags.empty() && !lines.others.empty())
      std::fprintf(
          stderr,
          "note: %s: has a line for none of the images, whose first is '%s'. Its first line is '%s'; lines are "
          "'<id> <class> <class> ...', parted by blanks.\n",
          tags.c_str(), set.ids.front().c_str(), lines.others.front().c_str());
  }

  set.numbers_ = numbers_of(set.ids);
  return set;
}

// A line an image: its id, its number and, where it has tags, their classes. No id holds a control character.
std::string as_text(image_set const& set)
{
  std::string out = set.tagged ? "tagged\n" : "\n";
  for (std::size_t i = 0; i < set.ids.size(); ++i) {
    out += set.ids[i] + '\t' + std::to_string(set.numbers_[i]);
    if (auto const found = set.tags.find(set.ids[i]); found != set.tags.end()) {
      out += '\t';
      for (int const c : found->second) out += std::to_string(c) + ' ';
    }
    out += '\n';
  }
  return out;
}

image_set set_of_text(std::string const& text)
{
  image_set set;
  std::size_t at = 0;
  auto const until = [&](char end) {
    auto const stop = text.find(end, at);
    auto part = text.substr(at, stop - at);
    at = stop + 1;
    return part;
  };
  set.tagged = !until('\n').empty();
  while (at < text.size()) {
    std::istringstream line(until('\n'));
    std::string id, number, classes;
    std::getline(line, id, '\t');
    std::getline(line, number, '\t');
    set.ids.push_back(id);
    set.numbers_.push_back(std::stoll(number));
    if (line.eof()) continue;
    std::getline(line, classes);
    std::istringstream words(classes);
    auto& tags = set.tags[id];
    for (int c; words >> c;) tags.push_back(c);
  }
  return set;
}

void expects_some(std::vector<std::string> const& templates, std::vector<std::string> const& ids)
{
  auto const has_some = [&](std::string const& path_template) {
    return std::any_of(ids.begin(), ids.end(), [&](auto const& id) { return is_there(fill(path_template, id)); });
  };
  for (auto const& path_template : templates) {
    if (has_some(path_template)) continue;
    auto const others = discover(path_template);
    std::string const none = "no file matches " + path_template;
    if (!others.empty())
      std::fprintf(stderr, "note: %s: has files, of %s first, but none of the images, whose first is %s\n",
                   path_template.c_str(), quoted_id(others.front()).c_str(), quoted_id(ids.front()).c_str());
    else if (std::any_of(templates.begin(), templates.end(), has_some))
      std::fprintf(stderr, "note: %s\n", none.c_str());
    else
      throw usage_error(none);
  }
}

void expects_inputs_kept(std::vector<std::string> const& inputs, std::string const& out,
                         std::function<std::vector<std::string>()> const& written)
{
  std::map<fs::path, fs::path> folders;  // where they are, links followed
  auto const place_of = [&](fs::path const& path) {
    auto const [found, fresh] = folders.try_emplace(path.parent_path());
    if (fresh) {
      std::error_code failure;
      auto const whole = fs::absolute(found->first.empty() ? "." : found->first).lexically_normal();
      found->second = fs::weakly_canonical(whole, failure);
      if (failure) found->second = whole;
    }
    return found->second / path.filename();
  };
  std::map<fs::path, std::set<fs::path>> links;  // of a folder: listing it once is cheaper than asking for each file
  auto const is_link = [&](fs::path const& place) {
    auto const [found, fresh] = links.try_emplace(place.parent_path());
    std::error_code failure;
    if (fresh)
      for (fs::directory_iterator entry(found->first, failure), end; !failure && entry != end; entry.increment(failure))
        if (std::error_code ignored; entry->is_symlink(ignored)) found->second.insert(entry->path().filename());
    return found->second.contains(place.filename());
  };
  fs::path const root = place_of(fs::path(out) / "x").parent_path();
  std::map<fs::path, std::string> below;
  for (auto const& input : inputs) {
    if (input.empty()) continue;
    auto const place = place_of(input);
    auto const add = [&](fs::path const& at) {
      if (std::mismatch(root.begin(), root.end(), at.begin(), at.end()).first == root.end()) below.emplace(at, input);
    };
    add(place);
    if (!is_link(place)) continue;
    std::error_code failure;
    auto const target = fs::canonical(place, failure);
    if (!failure) add(target);
  }
  if (below.empty()) return;
  for (auto const& name : written())
    if (auto const found = below.find(place_of(fs::path(out) / name)); found != below.end())
      throw usage_error(found->second + ": is an input, but would be written over; name another folder with --out");
}

}  // namespace labelling
