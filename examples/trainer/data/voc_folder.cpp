#include "data/voc_folder.hpp"

#include "data/fingerprint.hpp"

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/photograph.hpp>
#include <cambium/io/points.hpp>
#include <cambium/io/text.hpp>
#include <cambium/io/voc.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>
#include <mutex>
#include <string_view>
#include <utility>

namespace trainer {

namespace fs = std::filesystem;
using cambium::expects;
using cambium::grid;
using cambium::io_error;

namespace {

void expects_folder(fs::path const& p)
{
  if (!fs::is_directory(p)) throw io_error(p.string() + ": there is no such folder");
}

/// Photographs are loaded again and again; what is odd about them is said the first time.
void say_once(std::string const& sentence)
{
  static std::mutex one_at_a_time;
  static std::set<std::string> said;
  std::lock_guard const guard(one_at_a_time);
  if (said.insert(sentence).second) std::fprintf(stderr, "%s\n", sentence.c_str());
}

void sort_once(std::vector<std::int32_t>& tags)
{
  std::sort(tags.begin(), tags.end());
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
}

}  // namespace

voc_folder::voc_folder(voc_folder_options options) : options_(std::move(options))
{
  if (options_.class_names.empty())
    options_.class_names.assign(cambium::voc_class_names.begin(), cambium::voc_class_names.end());
  for (std::string const& name : options_.class_names) {
    expects(!name.empty(), "voc_folder: a class has no name");
    bool const fresh = class_of_.try_emplace(name, static_cast<std::int32_t>(class_of_.size())).second;
    expects(fresh, "voc_folder: the class ", name, " occurs twice");
  }
  if (auto const& first = options_.class_names.front(); cambium::names_no_class(first))
    say_once("note: class 1 is '" + first + "'. If it is none, leave it out, or every class is one too high");
  expects(!options_.list.empty(), "voc_folder: no list of images is named");
  expects_folder(options_.root);
  expects_folder(in_root(options_.photographs));
  if (!options_.points.empty()) expects_folder(in_root(options_.points));
  if (!options_.scribbles.empty()) expects_folder(in_root(options_.scribbles));
  if (options_.boxes) expects_folder(in_root(options_.annotations));

  // Words behind an id are numbers of classes, from 0 or from 1, or their names.
  auto const tag_of = [this](std::string_view word, std::string const& where, std::int32_t first) {
    std::int32_t tag = -1;
    auto const [stop, failure] = std::from_chars(word.data(), word.data() + word.size(), tag);
    auto const last = first + static_cast<std::int32_t>(options_.class_names.size()) - 1;
    bool const number = failure == std::errc{} && stop == word.data() + word.size() && tag >= first && tag <= last;
    if (auto const named = class_of_.find(std::string(word)); named != class_of_.end()) {
      if (number && named->second != tag - first)
        throw io_error(where + ": '" + std::string(word) + "' is the name of class " +
                       std::to_string(named->second + first) + " and the number of class '" +
                       options_.class_names[static_cast<std::size_t>(tag - first)] +
                       "': give the classes names that are no numbers, or tag by names that are none");
      return named->second;
    }
    if (!number)
      throw io_error(where + ": '" + std::string(word) + "' is neither a class by name nor a number from " +
                     std::to_string(first) + " to " + std::to_string(last) +
                     (word == "0" ? "; do the classes count from 0? Then say --zero-based" : ""));
    return tag - first;
  };
  auto const tags_of = [&](cambium::id_line const& line, std::string const& where, std::int32_t first) {
    std::vector<std::int32_t> tags;
    for (auto const word : line.words) tags.push_back(tag_of(word, where, first));
    sort_once(tags);
    return tags;
  };
  // Flags of one class would be taken for tags in silence.
  auto const demand_tags = [&](std::vector<cambium::id_line> const& lines, fs::path const& in) {
    auto const numbers = cambium::voc_numbers_of(lines, in);
    bool const one = numbers == cambium::voc_numbers::either && options_.class_names.size() > 1;
    if (options_.tags_are_classes || (numbers != cambium::voc_numbers::flags && !one)) return;
    throw io_error(in.string() + (one ? ": every image is tagged with 1 alone; perhaps " : ": ") +
                   cambium::voc_flags_words + "; if these are classes, say --tags-are-classes");
  };

  fs::path const list = in_root(options_.list);
  cambium::bytes const text = cambium::read_file(list);
  std::unordered_map<std::string, std::size_t> place;
  auto const there = photographs_there();
  auto const known = [&](std::string const& id) {  // a photograph of the folder, or a file that the line names
    std::error_code failure;
    return there.contains(id) || (id.find('/') != std::string::npos &&
                                  fs::is_regular_file(options_.root / fs::path(id).relative_path(), failure));
  };
  auto const lines = cambium::read_id_lines(text, list.string(), known);
  demand_tags(lines, list);
  for (auto const& line : lines) {
    std::string const where = list.string() + ":" + std::to_string(line.number);
    std::string const& first = line.id;
    entry e;
    if (first.find('/') != std::string::npos) {  // a file, and perhaps the file of its labels
      e.photograph = first;
      e.id = fs::path(first).stem().string();
      if (line.words.size() > 1 && (!line.known || cambium::trimmed(line.behind)[0] != '/'))
        throw io_error(where + ": more than a photograph and its labels");
    } else {
      e.id = first;
      e.tags = tags_of(line, where, 0);  // as BESTIE's lists
      e.has_tags = !e.tags.empty();
    }
    if (e.id.empty() || e.id == "." || e.id == "..") throw io_error(where + ": '" + first + "' names no image");
    if (!place.try_emplace(e.id, entries_.size()).second)
      throw io_error(where + ": '" + e.id + "' occurs a second time");
    entries_.push_back(std::move(e));
  }
  if (entries_.empty()) throw io_error(list.string() + ": names no image");

  if (options_.tags.empty()) return;
  fs::path const file = in_root(options_.tags);
  cambium::bytes const tags = cambium::read_file(file);
  std::vector<bool> seen(entries_.size());
  auto const tagged =
      cambium::read_id_lines(tags, file.string(), [&](std::string const& id) { return place.contains(id); });
  demand_tags(tagged, file);
  for (auto const& line : tagged) {
    std::string const where = file.string() + ":" + std::to_string(line.number);
    auto const found = place.find(line.id);
    if (found == place.end()) continue;  // tags of a whole set serve each of its lists
    auto const all = tags_of(line, where, options_.zero_based ? 0 : 1);
    if (seen[found->second]) throw io_error(where + ": '" + found->first + "' occurs a second time");
    seen[found->second] = true;
    entries_[found->second].tags = all;
    entries_[found->second].has_tags = true;
  }
  for (std::size_t i = 0; i < entries_.size(); ++i)
    if (!seen[i])
      throw io_error(file.string() + ": has no tags of '" + entries_[i].id + "', which is in " + list.string());
}

fs::path voc_folder::in_root(fs::path const& p) const { return p.is_absolute() ? p : options_.root / p; }

voc_folder::entry const& voc_folder::at(std::size_t i) const
{
  expects(i < entries_.size(), "voc_folder: image ", i, " of ", entries_.size());
  return entries_[i];
}

std::set<std::string> voc_folder::photographs_there() const
{
  std::set<std::string> out;
  for (auto const& file : fs::directory_iterator(in_root(options_.photographs)))
    out.insert(file.path().stem().string());
  return out;
}

std::string voc_folder::id(std::size_t i) const { return at(i).id; }

std::uint64_t voc_folder::weak_labels() const
{
  fingerprint out;
  for (entry const& e : entries_) {
    out.add(e.has_tags);
    for (auto const tag : e.tags) out.add(tag);
    out.add(std::int32_t{-1});
  }
  out.add(options_.points.string()).add(options_.point_threshold).add(options_.boxes);
  out.add(options_.annotations.string()).add(options_.difficult);
  if (options_.zero_based_boxes) out.add(true);
  if (!options_.scribbles.empty()) out.add(options_.scribbles.string());
  return out.value();
}

std::string voc_folder::file_name(std::size_t i) const
{
  fs::path const file = photograph_file(i), within = file.lexically_relative(in_root(options_.photographs));
  return (within.empty() ? file : within).generic_string();
}

fs::path voc_folder::photograph_file(std::size_t i) const
{
  entry const& e = at(i);
  if (!e.photograph.empty()) {
    fs::path const named = options_.root / fs::path(e.photograph).relative_path();  // lists write /JPEGImages/...
    if (fs::exists(named)) return named;
    throw io_error(named.string() + ": there is no such photograph, which the list names");
  }
  fs::path const stem = in_root(options_.photographs) / e.id;
  for (char const* const ending : {".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".Jpg", ".Jpeg", ".Png"})
    if (fs::exists(stem.string() + ending)) return stem.string() + ending;
  throw io_error(stem.string() + ".jpg: there is no such photograph, nor .jpeg nor .png");
}

std::vector<labelled_box> voc_folder::boxes_of(entry const& e, cambium::extent2 photograph, std::string* lost) const
{
  fs::path const file = in_root(options_.annotations) / (e.id + ".xml");
  cambium::voc_annotation annotation;
  try {
    annotation = cambium::read_voc_annotation(file, {.zero_based = options_.zero_based_boxes, .image = photograph});
    if (annotation.height != photograph.height || annotation.width != photograph.width)
      throw io_error(file.string() + ": is of a photograph of " + std::to_string(annotation.height) + " x " +
                     std::to_string(annotation.width) + " pixels, but that is " + std::to_string(photograph.height) +
                     " x " + std::to_string(photograph.width) +
                     cambium::turned_hint({annotation.height, annotation.width}, photograph));
  } catch (io_error const& why) {
    if (lost == nullptr || !fs::exists(file)) throw;
    *lost = why.what();
    return {};
  }
  for (auto const& note : annotation.notes) say_once("note: " + file.string() + ": " + note);
  std::vector<labelled_box> out;
  for (auto const& o : annotation.objects) {
    auto const category = class_of_.find(o.name);
    if (category == class_of_.end())
      throw io_error(file.string() + ": '" + o.name + "' is no class of this set" +
                     cambium::like_class(o.name, options_.class_names));
    if (!o.difficult || options_.difficult) out.push_back({o.bounds, category->second});
  }
  return out;
}

grid<std::int32_t, 2> voc_folder::scribbles_of(entry const& e, cambium::extent2 photograph) const
{
  fs::path const file = in_root(options_.scribbles) / (e.id + ".png");
  if (!fs::exists(file)) return {};
  auto out = cambium::parse_label_map(cambium::read_file(file), file.string());
  cambium::extent2 const size{out.shape()[0], out.shape()[1]};
  if (size != photograph)
    throw io_error(file.string() + ": is " + std::to_string(size.height) + " x " + std::to_string(size.width) +
                   " pixels, but its photograph " + std::to_string(photograph.height) + " x " +
                   std::to_string(photograph.width) + cambium::turned_hint(size, photograph));
  auto const classes = static_cast<std::int32_t>(options_.class_names.size());
  for (auto const v : cambium::numbers_of(out))
    if (v < 0 || (v > classes && v != cambium::label::ignore))
      throw io_error(file.string() + ": has a scribble of " + std::to_string(v) + ", outside 0.." +
                     std::to_string(classes) + " and not 255" + cambium::label_map_hint(out, classes));
  if (cambium::is_inverse_drawing(out))
    say_once("note: " + file.string() +
             ": marks most pixels as background and none as a class; a drawing is 255 where nothing was drawn, and the "
             "class where something was");
  return out;
}

weak_image voc_folder::load(std::size_t i) const
{
  entry const& e = at(i);
  fs::path const file = photograph_file(i);
  weak_image out;
  out.id = e.id;
  out.photograph = cambium::read_photograph(file);
  cambium::extent2 const size{out.photograph.shape()[0], out.photograph.shape()[1]};
  if (options_.photographs_only) return out;
  auto const classes = static_cast<std::int32_t>(options_.class_names.size());
  if (!options_.points.empty()) {
    fs::path const points = in_root(options_.points) / (e.id + ".txt");
    out.points = cambium::read_points(points, {.threshold = options_.point_threshold});
    for (auto const& p : out.points) {
      std::string const which =
          points.string() + ": the point at x " + cambium::message_part(p.x) + ", y " + cambium::message_part(p.y);
      if (!cambium::lies_on(p, size))
        throw io_error(which + " is outside its photograph of " + std::to_string(size.height) + " x " +
                       std::to_string(size.width) + " pixels");
      if (p.category >= classes)
        throw io_error(which + " is of class " + std::to_string(p.category) + ", outside 0.." +
                       std::to_string(classes - 1));
    }
    out.points = cambium::points_on_cells(out.points, size);
  }
  if (!options_.scribbles.empty()) out.scribbles = scribbles_of(e, size);
  if (options_.boxes) {
    fs::path const boxes = in_root(options_.annotations) / (e.id + ".xml");
    bool const may_lack = options_.without_boxes == may_lack_boxes::all ||
                          (options_.without_boxes == may_lack_boxes::masked && has_truth(i));
    if (may_lack && !fs::exists(boxes))
      out.lost_box = boxes.string() + ": there is no such file";
    else
      out.boxes = boxes_of(e, size, options_.without_boxes == may_lack_boxes::none ? nullptr : &out.lost_box);
  }
  if (e.has_tags) {
    out.tags = e.tags;
    return out;
  }
  for (auto const& p : out.points) out.tags.push_back(p.category);
  for (auto const v : cambium::numbers_of(out.scribbles))
    if (v != cambium::label::background && v != cambium::label::ignore) out.tags.push_back(v - 1);
  for (auto const& b : out.boxes) out.tags.push_back(b.category);
  if (options_.points.empty() && options_.scribbles.empty() && !options_.boxes) {
    if (!fs::exists(in_root(options_.annotations) / (e.id + ".xml")))
      throw io_error(in_root(options_.list).string() + ": has no tags of '" + e.id +
                     "', and there is no file of tags, no points, no boxes and no annotation of it");
    for (auto const& b : boxes_of(e, size, nullptr)) out.tags.push_back(b.category);
  }
  sort_once(out.tags);
  return out;
}

bool voc_folder::has_truth(std::size_t i) const
{
  std::string const name = at(i).id + ".png";
  return fs::exists(in_root(options_.class_maps) / name) || fs::exists(in_root(options_.object_maps) / name);
}

cambium::instances<> voc_folder::truth(std::size_t i) const
{
  entry const& e = at(i);
  fs::path const classes = in_root(options_.class_maps) / (e.id + ".png"),
                 objects = in_root(options_.object_maps) / (e.id + ".png");
  for (fs::path const& p : {classes, objects})
    if (!fs::exists(p)) throw io_error(p.string() + ": there is no truth of this image");
  auto const category = cambium::parse_label_map(cambium::read_file(classes), classes.string());
  auto const object = cambium::parse_instance_map(cambium::read_file(objects), objects.string());
  auto const count = static_cast<std::int32_t>(options_.class_names.size());
  auto const hint = cambium::label_map_hint(category, count);
  for (auto const c : cambium::numbers_of(category))
    if (c > count && c != cambium::label::ignore)
      throw io_error(classes.string() + ": has class " + std::to_string(c) + ", but there are only " +
                     std::to_string(count) + hint);
  // A photograph of the set shows something, unless the set says that it does not: void cannot be all of it.
  bool const empty = e.has_tags && e.tags.empty();
  if (!empty && !cambium::has_class(category) && !hint.empty())
    throw io_error(classes.string() + ": has no pixel of any class" + hint);
  auto out = cambium::voc_objects(category, object, objects.string(), -1).objects;
  if (out.found.empty() && cambium::has_class(category))
    throw io_error(objects.string() + ": has no object, but " + classes.string() + " has classes" +
                   cambium::label_map_hint(object, 65535));
  for (auto& o : out.found) o.category -= 1;  // maps count the background
  return out;
}

cambium::grid<std::uint8_t, 2> voc_folder::ignored(std::size_t i) const
{
  entry const& e = at(i);
  return cambium::read_voc_segmentation(in_root(options_.class_maps) / (e.id + ".png"),
                                        in_root(options_.object_maps) / (e.id + ".png"))
      .ignored;
}

}  // namespace trainer
