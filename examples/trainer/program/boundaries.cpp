// boundaries: boundary maps of photographs, from a boundary network's weights.
//
//   boundaries --images 'photos/{id}.jpg' --weights pidinet.safetensors --out 'boundaries/{id}.npy'

#include "program/boundary_map.hpp"
#include "program/flags.hpp"
#include "program/name_flags.hpp"
#include "program/photographs.hpp"

#include <cambium/core/error.hpp>

#include <iostream>

using namespace trainer;

namespace {

std::vector<std::string> const pool_words{"mean", "max"};

struct boundary_settings {
  photograph_settings photographs;
  std::string weights, network = "pidinet";
  name_settings names;
  std::int64_t stride = 4;
  pooling pool = pooling::mean;
};

int run_boundaries(boundary_settings const& s)
{
  auto const set = labelling::find_images(s.photographs.ids, s.photographs.images, "");
  auto const content = read_safetensors(s.weights);
  auto const names = s.names.map();
  auto const options = pidinet_options_of(renamed(content.tensors, names), s.weights);
  pidinet network(options);
  load_weights(network, content.tensors, names, s.weights);
  network.eval();
  auto const cells = [&](cambium::index_t e) { return (e - 1) / s.stride + 1; };

  photograph_work work;
  work.program = "boundaries";
  work.made_with = {{"network", s.network},
                    {"weights", fingerprint(s.weights)},
                    {"stride", s.stride},
                    {"pool", pool_words[static_cast<std::size_t>(s.pool)]}};
  if (!s.names.prefix.empty()) work.made_with["prefix"] = s.names.prefix;
  if (!s.names.renames.empty()) work.made_with["renames"] = s.names.renames;
  if (!s.names.passed_over.empty()) work.made_with["pass_over"] = s.names.passed_over;
  work.memory = [&](cambium::extent2 size) { return boundary_memory(size, options.channels); };
  work.size_of = [&](cambium::extent2 e) { return cambium::extent2{cells(e.height), cells(e.width)}; };
  work.keeps = [](std::string const&, cambium::npy_array const& array) {
    return array.shape.size() == 2 && array.kind == 'f';
  };
  work.make = [&](std::string const&, cambium::grid<std::uint8_t, 3> const& photograph) {
    return cambium::format_npy(boundary_map(network, photograph, s.stride, s.pool).view());
  };
  work.save = [] {};
  return run_photographs(s.photographs, set, work);
}

}  // namespace

int main(int count, char** arguments)
{
  boundary_settings s;
  CLI::App app{"Makes boundary maps of photographs from a boundary network's weights, as './run label' takes them.",
               "boundaries"};
  app.footer(
      "Files are named by templates: --images 'DIR/{id}.jpg'; {id} stands for the image's id.\n"
      "Beside the maps is written boundaries.json: how they were made.\n"
      "Status: 0 all images made, 1 some failed, 2 usage.");
  app.option_defaults()->always_capture_default();
  add_photograph_flags(app, s.photographs, "maps, npy float32 [(H-1)/stride+1,(W-1)/stride+1] in [0,1]");
  app.add_option("--weights", s.weights, "safetensors file")->required();
  app.add_option("--network", s.network, "whose weights they are; which PiDiNet, they say themselves")
      ->check(CLI::IsMember({"pidinet"}));
  app.add_option("--stride", s.stride, "pixels along a cell; 'label' takes 4")->check(CLI::Range(1, 64));
  add_choice(app, "--pool", s.pool, pool_words, "what a cell has of its pixels: their mean or max");
  add_name_flags(app, s.names);
  return run_program(app, count, arguments, [&] { return run_boundaries(s); });
}
