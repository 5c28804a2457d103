#include "settings.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <string>
#include <type_traits>
#include <vector>

namespace labelling {

std::optional<settings> parse_command_line(int count, char const* const* arguments, int& status)
{
  settings s;
  auto& o = s.irnet;
  CLI::App app{
      "Turns class activation maps and boundary maps into semantic and instance labels (IRNet's label synthesis).",
      "label"};
  app.footer(
      "Files are named by templates: --images 'DIR/{id}.jpg' or 'DIR/{id}/image.jpg'; {id} stands for the image's id.\n"
      "Status: 0 all images labelled, 1 some failed, 2 usage.");
  app.option_defaults()->always_capture_default();

  auto const path = [&](std::string const& name, std::string& to, std::string const& text, bool required = false) {
    auto* const option = app.add_option(name, to, text)->capture_default_str();
    option->type_name("TEMPLATE");
    option->check([name](std::string const& value) {
      return value.find("{id}") != std::string::npos ? std::string{} : "a template must contain {id}: " + value;
    });
    if (required) option->required();
  };
  path("--images", s.images, "photographs, JPEG or PNG", true);
  path("--cams", s.cams, "CAMs, npy float [C,h,w], h = (H-1)/4 + 1", true);
  path("--boundaries", s.boundaries, "boundary maps, npy float [h,w] in [0,1]", true);
  path("--displacements", s.displacements,
       "displacement fields, npy float [2,h,w]; without them instances are components");
  path("--truth-instances", s.truth_instances, "true instances, PNG: 0 background, 1..N, 255 void");
  path("--truth-semantic", s.truth_semantic, "true classes, PNG: 0 background, 1..C, 255 void");
  app.add_option("--ids", s.ids, "list of ids, one a line; without it the image template is matched against the disk");
  app.add_option(
      "--tags", s.tags,
      "lines '<id> <class> <class> ...', 1..C: the class of each CAM channel; without it channel c is class c+1");
  app.add_flag("--zero-based", s.zero_based, "classes in the tags file count from 0")->disable_flag_override();
  app.add_option("--out", s.out, "folder for the labels")->required();

  auto const both = [](std::string const& name) {  // --exp-times and the original's --exp_times
    std::string other = name;
    for (char& c : other)
      if (c == '-') c = '_';
    return other == name ? "--" + name : "--" + name + ",--" + other;
  };
  CLI::Validator const positive(
      [](std::string const& text) {
        double v = 0;
        return CLI::detail::lexical_cast(text, v) && v > 0 ? std::string{} : text + " is not a positive number";
      },
      "POSITIVE");
  std::string const walk = "Walk", labels = "Labels", work = "Work";
  app.add_option(both("radius"), o.radius, "radius of the neighbourhood, 1..10 cells")
      ->check(CLI::Range(1, 10))
      ->group(walk);
  app.add_option(both("beta"), o.beta, "power of the affinities")->check(positive)->group(walk);
  app.add_option(both("exp-times"), o.exp_times, "the walk takes 2^N steps: 8 is the 256 of the paper")
      ->check(CLI::Range(0, 20))
      ->group(walk);
  app.add_option(
         both("tolerance"), o.tolerance,
         "largest error of the walk, as a fraction of the CAM's range; 0 is exact, 3e-5 about 2.5 times as fast")
      ->check(CLI::Range(0.0, 0.5))
      ->group(walk);
  app.add_option(both("boundary-scale"), s.boundary_scale,
                 "factor on the boundary map, for networks that are too sure or too shy")
      ->check(positive)
      ->group(walk);
  app.add_option(both("sem-seg-bg-thres"), o.sem_seg_bg_thres, "background score of semantic labels")
      ->check(CLI::Range(0.0, 1.0))
      ->group(labels);
  app.add_option(both("ins-seg-bg-thres"), o.ins_seg_bg_thres, "background score of instance labels")
      ->check(CLI::Range(0.0, 1.0))
      ->group(labels);
  app.add_option(both("iterations"), o.iterations, "steps along the displacement field")
      ->check(CLI::Range(0, 1000000))
      ->group(labels);
  app.add_option(both("thres"), o.thres, "displacement below which a cell is a centroid's, in cells")
      ->check(positive)
      ->group(labels);
  app.add_option(both("max-fragment-size"), o.max_fragment_size,
                 "fraction of the image below which a component is a fragment")
      ->check(CLI::Range(0.0, 1.0))
      ->group(labels);
  app.add_option(both("component-thres"), o.component_thres,
                 "without displacements: boundaries from here on part components; above 1 none do")
      ->group(labels);
  app.add_flag("--crf", s.crf, "refine semantic labels with a dense CRF on the photograph")
      ->disable_flag_override()
      ->group(labels);
  auto const choice = [&](std::string const& name, auto& to, std::vector<std::string> const& words,
                          std::string const& text) {
    auto const choose = [&to, &words](std::string const& word) {
      to = static_cast<std::decay_t<decltype(to)>>(std::find(words.begin(), words.end(), word) - words.begin());
    };
    app.add_option_function<std::string>(name, choose, text)
        ->check(CLI::IsMember(words))
        ->default_str(words.front())
        ->group(labels);
  };
  choice("--fragments", o.small, fragment_words,
         "fragments: 'zero' keeps them with score 0 (the original), 'drop', 'keep'");
  choice("--scale", o.scale, scale_words,
         "scores are divided by the maximum over the 'image' (the original), each 'class', or each 'instance'");
  choice("--pieces", o.parts, piece_words, "pieces of one instance: 'separate' instances (the original) or 'merged'");
  app.add_option(both("cam-eval-thres"), s.cam_eval_thres,
                 "background score of the CAM baseline printed beside the scores")
      ->group(labels);
  app.add_flag("--void-counts", s.void_counts,
               "void pixels of the truth count against instances that cover them, as in chainercv")
      ->group(labels)
      ->disable_flag_override();

  std::string shard;
  app.add_option("--threads", s.threads, "cores to use; 0 is all")->check(CLI::Range(0, 4096))->group(work);
  app.add_option("--shard", shard, "I/N: only every N-th image, beginning with the I-th (1..N)")->group(work);
  app.add_flag("--resume", s.resume, "keep what an earlier run finished with the same inputs and parameters")
      ->group(work)
      ->disable_flag_override();
  app.add_flag("--overlay", s.overlay, "also draw the instances on the photographs")
      ->disable_flag_override()
      ->group(work);
  app.add_flag("--keep-scores", s.keep_scores, "also keep the walked scores, for ./run sweep")
      ->disable_flag_override()
      ->group(work);
  app.add_option("--tile", s.tile,
                 "walk in tiles of this side in pixels, for images that exceed memory; 0 walks whole images")
      ->check(CLI::Range(0, 1000000000))
      ->group(work);
  app.add_option("--overlap", s.overlap, "what a tile sees around itself, in pixels")
      ->check(CLI::Range(4, 1000000000))
      ->group(work);
  app.add_flag("--dry-run", s.dry_run, "count files, estimate time and memory, write nothing")
      ->disable_flag_override()
      ->group(work);

  status = 0;
  try {
    app.parse(count, arguments);
  } catch (CLI::ParseError const& e) {
    status = app.exit(e, std::cout, std::cerr) == 0 ? 0 : 2;
    return std::nullopt;
  }
  auto const refuse = [&](std::string const& why) -> std::optional<settings> {
    std::cerr << "label: " << why << "\nRun with --help for more information.\n";
    status = 2;
    return std::nullopt;
  };
  if (!shard.empty()) {
    int used = 0;
    if (std::sscanf(shard.c_str(), "%d/%d%n", &s.shard, &s.shards, &used) != 2 ||
        used != static_cast<int>(shard.size()) || s.shards < 1 || s.shard < 1 || s.shard > s.shards)
      return refuse("--shard " + shard + ": expected I/N with 1 <= I <= N");
  }
  for (double const v :
       {o.beta, o.sem_seg_bg_thres, o.ins_seg_bg_thres, o.thres, o.component_thres, s.boundary_scale, s.cam_eval_thres})
    if (!std::isfinite(v)) return refuse("a number on the command line is not finite");
  if (s.truth_instances.empty() != s.truth_semantic.empty() && s.truth_semantic.empty())
    return refuse("--truth-instances needs --truth-semantic, which says their classes");
  if (s.out.empty()) return refuse("--out is empty");
  if (s.tile != 0 && s.tile < 4) return refuse("--tile " + std::to_string(s.tile) + ": at least 4 pixels, or 0");
  if (s.tile != 0 && s.keep_scores && !s.displacements.empty())
    return refuse("--keep-scores with --tile keeps class scores only; leave out --displacements or one of the two");
  return s;
}

}  // namespace labelling
