// demo: draws scenes, learns from their tags alone, labels scenes it has not seen, and writes a page to look at.
//
//   demo OUT [--images 300] [--held-out 48]

#include "program/commands.hpp"
#include "program/data_flags.hpp"
#include "program/irnet_table.hpp"
#include "program/page.hpp"

#include "data/kept.hpp"
#include "method/irnet_run.hpp"

#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>

using namespace trainer;
namespace fs = std::filesystem;

namespace {

void write_page(fs::path const& out, dataset const& images, irnet_run_scores const& scores, std::size_t learned_from,
                std::size_t shown)
{
  page p("cambium: image tags in, masks out");
  p.text(
      "A small network learned from " + std::to_string(learned_from) +
      " drawn scenes and their <b>tags alone</b>: which of six classes are somewhere in the picture. Its class "
      "activation maps, the pixels they are sure of, a second network that learned boundaries and displacements from "
      "those, and the random walk make the masks below, of " +
      std::to_string(images.size()) +
      " scenes that no network has seen. Their truth was used to measure, not to learn. Scenes are drawn, so that "
      "figures say how the steps compare and nothing about photographs.");
  p.table(irnet_table(scores));
  p.begin_rows({"photograph", "CAM", "boundary", "displacement", "walk: classes", "instances", "truth"});
  for (std::size_t i = 0; i < std::min(shown, images.size()); ++i) {
    auto const image = images.load(i);
    cambium::extent2 const size{image.photograph.shape()[0], image.photograph.shape()[1]};
    auto const npy = [&](char const* room) { return out / room / (image.id + ".npy"); };
    std::pair<char const*, picture> const pictures[] = {
        {"photograph", image.photograph},
        {"cam", paint_cams(image.photograph, cambium::read_npy<float, 3>(npy("cams")), image.tags)},
        {"boundary", paint_boundary(cambium::read_npy<float, 2>(npy("boundaries")), size)},
        {"displacement", paint_wheel(cambium::read_npy<float, 3>(npy("displacements")), size)},
        {"classes", paint_classes(cambium::read_labels(out / "semantic" / (image.id + ".png")))},
        {"instances", paint_instances(image.photograph, cambium::read_labels(out / "instances" / (image.id + ".png")))},
        {"truth", paint_instances(image.photograph, images.truth(i).label)}};
    for (auto const& [name, drawn] : pictures) {
      std::string const file = "pictures/" + image.id + "_" + name + ".png";
      cambium::replace_file(out / file, cambium::format_photograph_png(drawn));
      p.picture_in_row(file);
    }
  }
  p.end_rows();
  p.text("What the classifier's loss did, and that of the second network:");
  p.picture_alone("cam/curves.png");
  p.picture_alone("field/curves.png");
  p.write(out / "index.html");
}

}  // namespace

int main(int count, char** arguments)
{
  CLI::App app("demo: learns from the tags of drawn scenes, labels others, writes a page");
  std::string out = "out/demo";
  std::size_t images = 300, held_out = 48;
  std::uint64_t seed = 1;
  app.add_option("OUT", out, "folder; what an earlier run of the same settings left there is gone on with")
      ->capture_default_str();
  app.add_option("--images", images, "scenes to learn from")->check(CLI::Range(16, 100000))->capture_default_str();
  app.add_option("--held-out", held_out, "scenes to label")->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--seed", seed, "of scenes and training")->capture_default_str();
  CLI11_PARSE(app, count, arguments);
  return run_command("demo", [&] {
    auto const begin = std::chrono::steady_clock::now();
    data_settings data;
    data.images = images, data.held_out = held_out, data.scenes_seed = seed;
    auto const sets = open_data(data);
    irnet_run_options run;
    run.how = small_irnet();
    run.how.seed = seed;
    run.folder = out;
    std::vector<std::string> failed;
    auto const scores = run_irnet(*sets.train, *sets.held_out, run, failed);
    if (!scores) return 0;  // another process has them
    std::printf("\n%zu scenes, tags alone; measured on %zu others, in %.0f s\n\n", images, held_out,
                std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    print_table(irnet_table(*scores));
    write_page(out, *sets.held_out, *scores, images, 16);
    std::printf("\nlook at %s\n", (fs::path(out) / "index.html").c_str());
    return tell_failures(failed);
  });
}
