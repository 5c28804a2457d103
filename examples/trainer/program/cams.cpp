// cams: class activation maps of photographs, from a classifier's weights.
//
//   cams --images 'photos/{id}.jpg' --weights net.safetensors --groups classes.json --tags tags.txt
//        --out 'cams/{id}.npy'

#include "program/class_activation.hpp"
#include "program/classifiers.hpp"
#include "program/flags.hpp"
#include "program/name_flags.hpp"
#include "program/photographs.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/text.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <thread>

using namespace trainer;

namespace {

std::vector<std::string> const logit_words{"softmax", "sigmoid"};

struct cam_settings {
  photograph_settings photographs;
  std::string tags, network = "mobilenet_v2", weights, groups, group_key = "indices", tags_out;
  labelling::tag_numbers tags_how;
  std::vector<std::string> heads;
  name_settings names;
  class_activation_options options;
};

/// CLASS=FILE
std::pair<int, std::string> parse_head(std::string const& text)
{
  auto const at = text.find('=');
  int number = 0;
  if (at == std::string::npos || !CLI::detail::lexical_cast(text.substr(0, at), number) || number < 1 || number > 254 ||
      at + 1 == text.size())
    throw labelling::usage_error("--head " + text + ": expected CLASS=FILE with a class of 1..254");
  return {number, text.substr(at + 1)};
}

nlohmann::ordered_json made_with(cam_settings const& s)
{
  nlohmann::ordered_json heads = nlohmann::ordered_json::object();
  for (auto const& text : s.heads) {
    auto const [number, file] = parse_head(text);
    heads[std::to_string(number)] = fingerprint(file);
  }
  return {{"network", s.network},
          {"weights", fingerprint(s.weights)},
          {"prefix", s.names.prefix},
          {"renames", s.names.renames},
          {"pass_over", s.names.passed_over},
          {"groups", s.groups.empty() ? "" : fingerprint(s.groups)},
          {"group_key", s.group_key},
          {"heads", heads},
          {"scales", s.options.scales},
          {"scored", s.tags.empty()},
          {"logits", s.options.logits == logit_kind::sigmoid ? "sigmoid" : "softmax"},
          {"least_score", s.options.least_score},
          {"head_top", s.options.head_top}};
}

/// What classes the channels of each image are; the record of what lies on the disk.
class tags_file {
 public:
  tags_file(std::string path, std::vector<std::string> const& ids) : path_(std::move(path))
  {
    std::error_code failure;
    if (std::filesystem::exists(path_, failure)) all_ = labelling::read_tags(path_, ids, {.classes = true});
  }
  std::vector<int> const* find(std::string const& id) const
  {
    auto const found = all_.of.find(id);
    return found == all_.of.end() ? nullptr : &found->second;
  }
  void set(std::string const& id, std::vector<int> const& classes) { all_.of[id] = classes; }
  void save() const
  {
    std::vector<std::pair<std::string, std::string>> lines;
    for (auto const& [id, classes] : all_.of) {
      lines.emplace_back(id, "");
      for (int const c : classes) lines.back().second += (lines.back().second.empty() ? "" : " ") + std::to_string(c);
    }
    std::string text = cambium::format_id_lines(lines);
    for (auto const& other : all_.others) text += other + "\n";
    cambium::replace_file(path_, text);
  }

 private:
  std::string path_;
  labelling::tag_lines all_;
};

int run_cams(cam_settings& s)
{
  auto const set = labelling::find_images(s.photographs.ids, s.photographs.images, s.tags, s.tags_how);
  if (s.tags_out.empty()) s.tags_out = file_beside(s.photographs.out, "tags", ".txt").string();
  std::error_code ignored;
  if (!s.tags.empty() && std::filesystem::equivalent(s.tags, s.tags_out, ignored))
    throw labelling::usage_error(s.tags + " is read by --tags and would be written by --tags-out");
  auto const network = open_classifier(s.network, s.weights, s.names.map());
  auto const outputs = network->class_weights().size(0), features = network->class_weights().size(1);
  auto const groups = s.groups.empty() ? each_output_alone(outputs) : read_groups(s.groups, s.group_key, outputs);
  std::vector<extra_head> heads;
  for (auto const& text : s.heads) {
    auto const [number, file] = parse_head(text);
    heads.push_back(read_head(number, file, features));
  }
  class_activation const cams(network, groups, heads, s.options);
  cambium::cpu const where{.threads = s.photographs.threads};
  tags_file tags(s.tags_out, set.ids);
  auto const wanted = [&](std::string const& id) -> std::optional<std::vector<int>> {
    if (!set.tagged) return std::nullopt;
    auto const found = set.tags.find(id);
    if (found == set.tags.end()) throw cambium::io_error(s.tags + ": has no line for '" + id + "'");
    return found->second;
  };

  photograph_work work;
  work.program = "cams";
  work.made_with = made_with(s);
  work.memory = [&](cambium::extent2 size) { return cams.memory(size); };
  work.size_of = [](cambium::extent2 e) { return cambium::extent2{(e.height - 1) / 4 + 1, (e.width - 1) / 4 + 1}; };
  work.keeps = [&](std::string const& id, cambium::npy_array const& array) {
    auto const* const before = tags.find(id);
    auto const now = wanted(id);
    return before != nullptr && array.shape.size() == 3 && array.kind == 'f' &&
           array.shape[0] == static_cast<cambium::index_t>(before->size()) && (!now || *now == *before);
  };
  work.make = [&](std::string const& id, cambium::grid<std::uint8_t, 3> const& photograph) {
    auto const result = cams.of(where, photograph, wanted(id));
    tags.set(id, result.classes);
    return cambium::format_npy(result.maps.view());
  };
  work.save = [&] { tags.save(); };
  return run_photographs(s.photographs, set, work);
}

}  // namespace

int main(int count, char** arguments)
{
  cam_settings s;
  auto& o = s.options;
  CLI::App app{"Makes class activation maps of photographs from a classifier's weights, as './run label' takes them.",
               "cams"};
  app.footer(
      "Files are named by templates: --images 'DIR/{id}.jpg'; {id} stands for the image's id.\n"
      "Beside the maps are written tags.txt, the classes of their channels, and cams.json, how they were made.\n"
      "Status: 0 all images made, 1 some failed, 2 usage.");
  app.option_defaults()->always_capture_default();
  add_photograph_flags(app, s.photographs, "maps, npy float32 [C,(H-1)/4+1,(W-1)/4+1] in [0,1)");
  app.add_option(
      "--tags", s.tags,
      "lines '<id> <class> <class> ...', 1..C: what an image shows, in the order of its channels; without it "
      "every class that scores");
  add_switch(app, "--zero-based", s.tags_how.zero_based, "classes in the tags file count from 0");
  add_switch(app, "--tags-are-classes", s.tags_how.classes,
             "numbers 1 in the tags file are classes, though they look like the flags of VOC's ImageSets/Main");
  app.add_option("--weights", s.weights, "safetensors file")->required();
  app.add_option("--network", s.network, "whose weights they are")->check(CLI::IsMember(classifier_names()));
  app.add_option("--groups", s.groups,
                 "JSON: which outputs of the classifier speak of a class, {\"dog\": {\"class\": 12, \"indices\": "
                 "[151, 152]}}; without it class c is output c-1");
  app.add_option("--group-key", s.group_key, "name of the list of indices in --groups");
  app.add_option("--head", s.heads, "CLASS=FILE: a 1x1 convolution on the same features for one more class");
  app.add_option("--scales", o.scales, "sizes of the photograph that are summed")->delimiter(',');
  add_choice(app, "--logits", o.logits, logit_words, "how outputs become scores, where there are no tags");
  app.add_option("--least-score", o.least_score, "without tags: classes from this score on; at least the highest")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--head-top", o.head_top, "a head's score is its mean over this fraction of its highest cells")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--tags-out", s.tags_out,
                 "where the classes of the channels are written; default: tags.txt beside the maps");
  add_name_flags(app, s.names);
  return run_program(app, count, arguments, [&] {
    for (double const scale : o.scales)
      if (!(scale > 0 && scale <= 8)) throw labelling::usage_error("--scales must be of (0,8]");
    return run_cams(s);
  });
}
