#include "program/data_flags.hpp"

#include "data/coco_set.hpp"
#include "data/kept.hpp"
#include "data/voc_folder.hpp"
#include "process/processes.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/text.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <utility>

namespace trainer {

namespace fs = std::filesystem;

namespace {

constexpr unsigned of_scenes = 1, of_folder = 2, of_coco = 4;

std::string words_of_kinds(unsigned kinds)
{
  std::string out;
  for (auto const& [kind, words] : {std::pair{of_scenes, "scenes"}, {of_folder, "a folder"}, {of_coco, "a .json file"}})
    if ((kinds & kind) != 0) out += (out.empty() ? "" : " or ") + std::string(words);
  return out;
}

/// A flag of another kind of set was meant for something, and would change nothing.
void expects_flags_of(unsigned kind, data_settings const& s)
{
  for (auto const& [flag, kinds] : s.flags)
    cambium::expects(flag->count() == 0 || (kinds & kind) != 0, flag->get_name(), " is for --data that is ",
                     words_of_kinds(kinds), ", but --data ", s.data, " is ", words_of_kinds(kind));
}

std::vector<std::string> class_names_of(std::string const& flag)
{
  std::vector<std::string> out;
  std::istringstream names(flag);
  for (std::string name; std::getline(names, name, ',');) out.emplace_back(cambium::trimmed(name));
  return out;
}

}  // namespace

void add_data_flags(CLI::App& app, data_settings& s)
{
  auto const of = [&s](unsigned kinds, CLI::Option* flag) {
    s.flags.push_back({flag, kinds});
    return flag;
  };
  app.add_option("--data", s.data, "scenes (drawn), a folder in VOC's layout, or a JSON file in COCO's form")
      ->capture_default_str();
  of(of_scenes, app.add_option("--images", s.images, "scenes: how many to learn from"))
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  of(of_scenes, app.add_option("--held-out", s.held_out, "scenes: how many to label and measure"))
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--side", s.side, "scenes: height and width in pixels")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--label-training", s.label_training,
               "label the images that were learned from, instead of held-out ones");
  of(of_scenes, app.add_option("--scenes-seed", s.scenes_seed, "scenes: which"))->capture_default_str();
  of(of_folder,
     app.add_option("--list", s.list, "VOC folder: list of ids to learn from, e.g. ImageSets/Segmentation/train.txt"));
  of(of_folder, app.add_option("--held-out-list", s.held_out_list,
                               "VOC folder: list of ids to label and measure; without it those of --list"));
  of(of_folder, app.add_option("--tags", s.tags, "VOC folder: file of lines 'ID class class', names or numbers 1..C"));
  of(of_folder, app.add_flag("--zero-based", s.zero_based, "numbers in the tags file count from 0"));
  of(of_folder,
     app.add_option("--point-files", s.points, "VOC folder: folder of ID.txt with lines 'x y class confidence'"));
  of(of_folder, app.add_option("--point-threshold", s.point_threshold, "only points of more confidence"))
      ->check([](std::string const& value) {
        bool const number = !std::isnan(std::strtod(value.c_str(), nullptr));
        return number ? std::string() : "a number: only points of more confidence count";
      })
      ->capture_default_str();
  of(of_folder, app.add_flag("--box-files", s.boxes, "VOC folder: read Annotations/ID.xml"));
  of(of_folder, app.add_flag("--tags-are-classes", s.tags_are_classes,
                             "VOC folder: numbers 1 are classes, though they look like the flags of ImageSets/Main"));
  of(of_folder,
     app.add_flag("--zero-based-boxes", s.zero_based_boxes, "VOC folder: pixels in Annotations/ID.xml count from 0"));
  of(of_folder, app.add_option("--classes", s.classes,
                               "VOC folder: names of the classes with commas between; without it VOC's 20"));
  of(of_folder | of_coco,
     app.add_option("--photographs", s.photographs, "folder of the photographs: COCO; VOC: instead of JPEGImages"));
  auto* const held_out =
      of(of_coco, app.add_option("--held-out-json", s.held_out_json,
                                 "COCO: the set to label and measure; without it the one of --data"));
  of(of_coco, app.add_option("--held-out-photographs", s.held_out_photographs, "COCO: its photographs"))
      ->needs(held_out);
  of(of_coco, app.add_option("--crowds", s.crowds,
                             "COCO: regions of several objects are neither objects nor background (ignore), or "
                             "objects"))
      ->check(CLI::IsMember({"ignore", "objects"}))
      ->capture_default_str();
}

cambium::crowds crowds_of(data_settings const& s)
{
  return s.crowds == "objects" ? cambium::crowds::objects : cambium::crowds::ignore;
}

void say_remarks(std::vector<std::string> const& remarks)
{
  if (!processes::first()) return;
  for (auto const& line : remarks) std::fprintf(stderr, "%s\n", line.c_str());
}

namespace {

/// Networks know numbers of classes; people, files of labels and scores know names.
void expects_same_classes(std::string const& train, std::vector<std::string> const& known, std::string const& held_out,
                          std::vector<std::string> const& others)
{
  if (known == others) return;
  auto const [a, b] = std::mismatch(known.begin(), known.end(), others.begin(), others.end());
  auto const words = [](auto at, auto const& all) { return at == all.end() ? "no such class" : "'" + *at + "'"; };
  throw cambium::precondition_error("class " + std::to_string(a - known.begin() + 1) + " is " + words(a, known) +
                                    " in " + train + " but " + words(b, others) + " in " + held_out +
                                    ": both need the same classes in the same order");
}

}  // namespace

data_sets open_data(data_settings const& s)
{
  data_sets out;
  auto const own = [&](auto set) {
    out.owned.push_back(std::move(set));
    return out.owned.back().get();
  };
  if (s.data == "scenes") {
    expects_flags_of(of_scenes, s);
    cambium::expects(s.images >= 1 && s.held_out >= 1, "--images and --held-out: at least one scene each");
    auto* const train = own(std::make_unique<scenes>(scenes_of(s.scenes_seed, s.images, s.side, false)));
    auto* const held_out = own(std::make_unique<scenes>(scenes_of(s.scenes_seed, s.held_out, s.side, true)));
    out.train = own(std::make_unique<kept>(*train));
    out.held_out = own(std::make_unique<kept>(*held_out));
  } else if (fs::is_directory(s.data)) {
    expects_flags_of(of_folder, s);
    cambium::expects(!s.list.empty(), "--data ", s.data, " is a folder: --list says which images are learned from");
    voc_folder_options o;
    o.root = s.data, o.list = s.list, o.tags = s.tags, o.points = s.points, o.scribbles = s.scribbles;
    o.boxes = s.boxes;
    if (s.masks_or_boxes) o.without_boxes = may_lack_boxes::masked;
    o.point_threshold = s.point_threshold, o.zero_based = s.zero_based;
    o.tags_are_classes = s.tags_are_classes, o.zero_based_boxes = s.zero_based_boxes;
    if (!s.photographs.empty()) o.photographs = s.photographs;
    o.class_names = class_names_of(s.classes);
    out.train = own(std::make_unique<voc_folder>(o));
    if (!s.held_out_list.empty()) {
      o.list = s.held_out_list;
      if (s.masks_or_boxes) o.without_boxes = may_lack_boxes::all;
      o.photographs_only = s.held_out_photographs_only;
      if (o.photographs_only) o.tags.clear(), o.points.clear(), o.scribbles.clear(), o.boxes = false;
      out.held_out = own(std::make_unique<voc_folder>(o));
    }
  } else if (fs::path(s.data).extension() == ".json") {
    expects_flags_of(of_coco, s);
    cambium::expects(!s.photographs.empty(), "--data ", s.data, ": --photographs says where its photographs are");
    auto const open = [&](std::string const& file, std::string const& photographs) {
      auto set = std::make_unique<coco_set>(
          coco_set_options{.annotations = file, .photographs = photographs, .crowds = crowds_of(s)});
      say_remarks(set->remarks());
      return own(std::move(set));
    };
    out.train = open(s.data, s.photographs);
    if (!s.held_out_json.empty())
      out.held_out = open(s.held_out_json, s.held_out_photographs.empty() ? s.photographs : s.held_out_photographs);
  } else {
    throw cambium::io_error(s.data + ": neither 'scenes', nor a folder, nor a .json file");
  }
  if (out.held_out == nullptr || s.label_training) out.held_out = out.train;
  expects_same_classes("--data " + s.data, out.train->class_names(), "--held-out-json " + s.held_out_json,
                       out.held_out->class_names());
  return out;
}

std::optional<survey> surveyed(data_settings const& s, data_sets const& sets)
{
  if (s.data == "scenes") return std::nullopt;
  return survey_of(*sets.train);
}

}  // namespace trainer
