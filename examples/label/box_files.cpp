#include "box_files.hpp"

#include "record.hpp"

#include <cambium/io/file.hpp>
#include <cambium/io/voc.hpp>

#include <cstdio>

namespace labelling {

using namespace cambium;

option box_files::names_option()
{
  return {"--names", &names_file, {}, "the classes 1..C of XML files, one name a line; without it VOC's twenty"};
}

option box_files::zero_based_option()
{
  return {"--zero-based-boxes",
          &zero_based,
          {},
          "pixels in XML files count from 0, as VoTT's do",
          option_is::usual,
          [this] { return zero_based ? json(true) : json(); }};
}

option box_files::crowds_option()
{
  return {"--crowds",
          choice(crowds, {"ignore", "objects"}),
          {},
          "regions of several objects in a COCO file: neither objects nor background, or each is an object"};
}

void box_files::open()
{
  if (path.empty()) throw usage_error("--boxes is empty");
  read_shared();
  std::string const& where = xml() ? names_file : path;
  demand(classes() <= 254, where, "has " + std::to_string(classes()) + " classes; a label map holds 254 at most");
  if (!no_class_.empty())
    std::fprintf(stderr,
                 no_classes_ == 1
                     ? "label: %s: class 1 is %s. If it is none, leave it out, or every class is one too high\n"
                     : "label: %s: the first classes are %s. If they are none, leave them out, or every class is "
                       "too high\n",
                 where.c_str(), no_class_.c_str());
}

void box_files::read_shared()
{
  if (xml() && !names_file.empty()) {
    for (auto const& name : read_names(names_file)) {
      if (names_no_class(name) && no_classes_ == static_cast<index_t>(classes_.size()))
        no_class_ += (no_classes_++ == 0 ? "'" : " and '") + name + "'";
      classes_.emplace(name, static_cast<std::int32_t>(classes_.size()));
    }
    shared_hash_ = hash(read_file(names_file));
    return;
  }
  if (xml()) {
    for (auto const name : voc_class_names) classes_.emplace(name, voc_class(name) - 1);
    return;
  }
  if (!names_file.empty()) throw usage_error("--names is for XML files; a COCO file has its own classes");
  if (zero_based) throw usage_error("--zero-based-boxes is for XML files; COCO's count from 0");
  auto const content = read_file(path);
  coco_ = coco_boxes(content, path, crowds);
  for (auto const& remark : coco_.remarks()) std::fprintf(stderr, "label: %s\n", remark.c_str());
  shared_hash_ = hash(content);
  if (auto const first = coco_.unused_first())
    no_class_ = "category " + std::to_string(first->id) + " ('" + first->name + "'), of which no annotation is",
    no_classes_ = 1;
}

index_t box_files::classes() const { return xml() ? static_cast<index_t>(classes_.size()) : coco_.classes(); }

std::optional<boxes_of_image> box_files::find(image_files& files, extent2 image) const
{
  if (!xml()) return coco_.find(files.id());
  if (!files.has("boxes")) return std::nullopt;
  auto const file = files.path("boxes");
  auto const read = parse_voc_annotation(files.file("boxes"), file, {.zero_based = zero_based, .image = image});
  boxes_of_image out{{read.height, read.width}, {}};
  for (auto const& note : read.notes) out.notes.push_back(file + ": " + note);
  for (auto const& object : read.objects) {
    auto const at = classes_.find(object.name);
    if (at == classes_.end()) {
      std::vector<std::string> names;
      for (auto const& [name, place] : classes_) names.push_back(name);
      throw io_error(file + ": '" + object.name + "' is no class; --names lists one's own" +
                     like_class(object.name, names));
    }
    out.boxes.push_back({object.bounds, at->second});
  }
  return out;
}

std::optional<std::vector<std::int64_t>> box_files::image_numbers(std::vector<std::string> const& ids) const
{
  return xml() ? std::nullopt : std::optional(coco_.names().numbers_of(ids));
}

}  // namespace labelling
