#include "flags.hpp"
#include "method.hpp"
#include "method_irnet.hpp"
#include "settings.hpp"

#include <cstdio>
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

namespace labelling {

std::shared_ptr<method> make_method(std::string const& name)
{
  if (name == "bestie") return make_bestie();
  if (name == "boxes") return make_boxes();
  return std::make_shared<irnet_method>();
}

namespace {

/// A parser of the flags of one method: those of others would only be in the way, in its --help too.
struct parser {
  explicit parser(std::string const& name) : how(make_method(name))
  {
    app.description(
        "Turns weak labels into semantic and instance labels: class activation maps and boundary maps (irnet),"
        "\nsemantic maps, points and centres (bestie), or boxes (boxes).");
    app.footer(
        "Files are named by templates: --images 'DIR/{id}.jpg' or 'DIR/{id}/image.jpg'; {id} stands for the image's "
        "id.\n"
        "These are the flags of --method " +
        name +
        "; each method has a --help of its own.\n"
        "Status: 0 all images labelled, 1 some failed, 2 usage.");
    app.option_defaults()->always_capture_default();
    app.add_option("--method", method_name, "whose labels: irnet, bestie or boxes")
        ->check(CLI::IsMember(method_names))
        ->default_str("irnet");
    add_template(app, "--images", s.images, "photographs, JPEG or PNG");
    how->add_flags(app, s);
    add_template(app, "--truth-instances", s.truth_instances,
                 "true instances, PNG: 0 background, 1..N; 255 is void in 8 bits");
    add_template(app, "--truth-semantic", s.truth_semantic, "true classes, PNG: 0 background, 1..C, 255 void");
    app.add_option("--ids", s.ids,
                   "list of ids, one a line; without it the template of the images, or of the first input if there are "
                   "none, is matched against the disk");
    app.add_option("--out", s.out, "folder for the labels")->required();
    add_switch(app, "--void-counts", s.void_counts,
               "void pixels of the truth count against instances that cover them, as in chainercv")
        ->group("Labels");
    std::string const work = "Work";
    app.add_option("--threads", s.threads, "cores to use; 0 is all")->check(CLI::Range(0, 4096))->group(work);
    app.add_option("--shard", shard, "I/N: only every N-th image, beginning with the I-th (1..N)")->group(work);
    add_switch(app, "--resume", s.resume, "keep what an earlier run finished with the same inputs and parameters")
        ->group(work);
    add_switch(app, "--overlay", s.overlay, "also draw the instances on the photographs")->group(work);
    add_switch(app, "--dry-run", s.dry_run, "count files, estimate time and memory, write nothing")->group(work);
  }

  bool knows(std::string const& flag) { return app.get_option_no_throw(flag) != nullptr; }

  settings s;
  std::string method_name = "irnet", shard;
  std::shared_ptr<method> how;
  CLI::App app{"", "label"};
};

/// The word after --method; irnet without one.
std::string method_asked_for(std::vector<std::string> const& words)
{
  std::string name = "irnet";
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--method" && i + 1 < words.size()) name = words[i + 1];
    if (words[i].rfind("--method=", 0) == 0) name = words[i].substr(9);
  }
  return name;
}

/// Complains of a flag that only other methods have.
void refuse_flags_of_others(std::string const& asked, parser& mine, std::vector<std::string> const& words)
{
  for (auto const& word : words) {
    std::string const flag = word.substr(0, word.find('='));
    if (flag.rfind("--", 0) != 0 || flag.size() < 3 || flag == "--help" || mine.knows(flag)) continue;
    std::string others;
    for (auto const& name : method_names)
      if (name != asked && parser(name).knows(flag)) others += (others.empty() ? "" : " and ") + name;
    if (!others.empty()) throw usage_error(flag + " is a flag of --method " + others + "; the method here is " + asked);
  }
}

}  // namespace

std::optional<settings> parse_command_line(int count, char const* const* arguments, int& status)
{
  std::vector<std::string> const words(arguments + 1, arguments + count);
  std::string const name = method_asked_for(words);
  parser p(name);
  status = 0;
  try {
    if (std::find(method_names.begin(), method_names.end(), name) == method_names.end())  // before CLI11 misses a flag
      throw usage_error("--method: " + name + " not in {" + CLI::detail::join(method_names, ",") + "}");
    refuse_flags_of_others(name, p, words);
    p.app.parse(count, arguments);
    settings& s = p.s;
    if (!p.shard.empty()) {
      int used = 0;
      if (std::sscanf(p.shard.c_str(), "%d/%d%n", &s.shard, &s.shards, &used) != 2 ||
          used != static_cast<int>(p.shard.size()) || s.shards < 1 || s.shard < 1 || s.shard > s.shards)
        throw usage_error("--shard " + p.shard + ": expected I/N with 1 <= I <= N");
    }
    if (s.truth_semantic.empty() && !s.truth_instances.empty())
      throw usage_error("--truth-instances needs --truth-semantic, which says their classes");
    if (s.out.empty()) throw usage_error("--out is empty");
    if (s.overlay && s.images.empty()) throw usage_error("--overlay needs --images to draw on");
    p.how->get_ready(p.app, s);
    s.how = p.how;
    return s;
  } catch (CLI::ParseError const& e) {
    status = p.app.exit(e, std::cout, std::cerr) == 0 ? 0 : 2;
  } catch (std::exception const& e) {
    std::cerr << "label: " << e.what() << "\nRun with --help for more information.\n";
    status = 2;
  }
  return std::nullopt;
}

}  // namespace labelling
