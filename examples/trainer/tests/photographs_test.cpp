// Networks and maps without weights: shapes, names, what programs share. With CAMBIUM_WEIGHTS and CAMBIUM_REAL set,
// photographs_reference_test compares them with golden values.

#include "program/photographs.hpp"
#include "network/irnet_heads.hpp"
#include "network/mobilenet_v2.hpp"
#include "network/module_weights.hpp"
#include "network/pidinet.hpp"
#include "network/resnet.hpp"
#include "network/squeezenet.hpp"
#include "program/boundary_map.hpp"
#include "program/class_activation.hpp"
#include "program/classifiers.hpp"
#include "program/groups.hpp"
#include "program/name_flags.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/png.hpp>

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

#include "support/temporary.hpp"

#include "support/catch.hpp"

using namespace trainer;
using cambium::io_error;
using cambium::precondition_error;
namespace fs = std::filesystem;

namespace {

std::set<std::string> names_of(torch::nn::Module const& m)
{
  std::set<std::string> out;
  for (auto const& [name, t] : tensors_of(m)) out.insert(name);
  return out;
}

cambium::grid<std::uint8_t, 3> noise(std::int64_t h, std::int64_t w, bool mirrored = false)
{
  auto out = cambium::make_grid<std::uint8_t>({h, w, 3});
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x)
      for (std::int64_t c = 0; c < 3; ++c)
        out(y, mirrored ? w - 1 - x : x, c) = static_cast<std::uint8_t>((y * 37 + x * x * 11 + c * 91 + x * y) % 256);
  return out;
}

bool equal(cambium::grid<float, 3> const& a, cambium::grid<float, 3> const& b)
{
  return a.shape() == b.shape() && a.cells() == b.cells();
}

std::string groups_refused(fs::path const& file, std::string const& text, std::string const& key = "indices")
{
  cambium::replace_file(file, text);
  return support::refusal([&] { static_cast<void>(read_groups(file, key, 10)); });
}

}  // namespace

TEST_CASE("Names of parameters are those of the files", "[reference]")
{
  std::set<std::string> mobile, squeeze, pidi;
  auto const both = [](std::set<std::string>& to, std::string const& name) {
    to.insert(name + ".weight"), to.insert(name + ".bias");
  };
  for (std::string const name : {"conv1", "conv_last", "fc"}) both(mobile, name);
  for (int b = 0; b <= 16; ++b)
    for (std::string const part : {"expand", "dw", "project"})
      if (b > 0 || part != "expand") both(mobile, "block" + std::to_string(b) + "." + part);
  CHECK(names_of(mobilenet_v2()) == mobile);
  for (std::string const name : {"conv1", "conv10"}) both(squeeze, name);
  for (int f = 2; f <= 9; ++f)
    for (std::string const part : {"squeeze1x1", "expand1x1", "expand3x3"})
      both(squeeze, "fire" + std::to_string(f) + "." + part);
  CHECK(names_of(squeezenet()) == squeeze);
  pidi.insert("init_block.weight");
  both(pidi, "classifier");
  for (int s = 1; s <= 4; ++s)
    for (int i = 1; i <= (s == 1 ? 3 : 4); ++i) {
      auto const name = "block" + std::to_string(s) + "_" + std::to_string(i);
      pidi.insert({name + ".conv1.weight", name + ".conv2.weight"});
      if (s > 1 && i == 1) both(pidi, name + ".shortcut");
    }
  for (std::string const j : {"0", "1", "2", "3"}) {
    both(pidi, "dilations." + j + ".conv1");
    for (std::string const k : {"1", "2", "3", "4"}) pidi.insert("dilations." + j + ".conv2_" + k + ".weight");
    both(pidi, "attentions." + j + ".conv1");
    pidi.insert("attentions." + j + ".conv2.weight");
    both(pidi, "conv_reduces." + j + ".conv");
  }
  CHECK(names_of(pidinet()) == pidi);
  std::int64_t count = 0;
  for (auto const& [name, t] : tensors_of(mobilenet_v2())) count += t.numel();
  CHECK(count == 3487816);  // the published 3.5 M less the batch norms' statistics
}

TEST_CASE("Feature maps have the sizes that strides say", "[property]")
{
  torch::NoGradGuard const guard;
  mobilenet_v2 coarse({7, 32}), fine({7, 16});
  for (auto const& [h, w] : {std::pair{32, 32}, {64, 96}, {33, 47}}) {
    auto const x = torch::rand({2, 3, h, w}) * 255;
    auto const at32 = coarse.features(coarse.prepare(x)), at16 = fine.features(fine.prepare(x));
    CHECK(at32.sizes() == torch::IntArrayRef{2, 1280, h / 32, w / 32});
    CHECK(at16.sizes() == torch::IntArrayRef{2, 1280, h / 16, w / 16});
    CHECK(coarse.logits(at32).sizes() == torch::IntArrayRef{2, 7});
  }
  CHECK(fine.class_weights().sizes() == torch::IntArrayRef{7, 1280});
  squeezenet s(5);
  for (auto const& [size, cells] : {std::pair{227, 13}, {21, 1}, {100, 5}}) {
    auto const f = s.features(s.prepare(torch::rand({1, 3, size, size}) * 255));
    CHECK(f.sizes() == torch::IntArrayRef{1, 512, cells, cells});
    CHECK(s.logits(f).sizes() == torch::IntArrayRef{1, 5});
  }
  CHECK_THROWS(s.features(s.prepare(torch::rand({1, 3, 20, 21}))));  // least_extent() is the least
  CHECK_THROWS(coarse.features(coarse.prepare(torch::rand({1, 3, 31, 64}) * 255)));
  CHECK_THROWS_AS(mobilenet_v2({7, 8}), precondition_error);
  CHECK_THROWS_AS(squeezenet(0), precondition_error);
  pidinet p({4, 3});
  for (auto const& [h, w] : {std::pair{8, 8}, {37, 21}, {64, 33}}) {
    auto const b = p.forward(torch::rand({1, 3, h, w}) * 255);
    CHECK(b.sizes() == torch::IntArrayRef{1, 1, h, w});
    CHECK(b.min().item<float>() >= 0);
    CHECK(b.max().item<float>() <= 1);
  }
  CHECK_THROWS_AS(p.forward(torch::rand({1, 3, 7, 30})), precondition_error);
}

TEST_CASE("Which PiDiNet it is stands in its weights", "[property]")
{
  pidinet_options o{5, 2};
  o.kernels[2] = 3, o.kernels[0] = 5;
  auto const found = pidinet_options_of(tensors_of(pidinet(o)), "w");
  CHECK(found.channels == 5);
  CHECK(found.reduced == 2);
  CHECK(found.kernels == o.kernels);
  CAMBIUM_THROWS_SAYING(static_cast<void>(pidinet_options_of({}, "w")), io_error, "init_block.weight is missing");
}

TEST_CASE("PiDiNet's weights are found under other names: --prefix, --rename, --pass-over", "[property]")
{
  torch::manual_seed(3);
  pidinet const p({4, 3});
  named_tensors wrapped{{"module.extra.weight", torch::zeros({2})}, {"step", torch::zeros({1})}};
  for (auto const& [name, tensor] : tensors_of(p))
    wrapped["module." + (name.rfind("init_block", 0) == 0 ? "first" + name.substr(10) : name)] = tensor;
  name_settings s;
  CLI::App app;
  add_name_flags(app, s);
  app.parse("--prefix module. --rename ^first init_block --pass-over extra");
  auto const names = s.map();
  pidinet q(pidinet_options_of(renamed(wrapped, names), "w"));
  load_weights(q, wrapped, names, "w");
  auto const copied = tensors_of(q);
  for (auto const& [name, tensor] : tensors_of(p)) CHECK(torch::equal(copied.at(name), tensor));
  CAMBIUM_THROWS_SAYING(static_cast<void>(pidinet_options_of(wrapped, "w")), io_error, "init_block.weight is missing");
}

TEST_CASE("CAMs of any size have a quarter of it and turn with the photograph", "[property]")
{
  torch::manual_seed(1);
  auto const net = std::make_shared<squeezenet>(6);
  std::vector<class_group> const groups{{3, "a", {0, 4}}, {5, "b", {1}}};
  std::vector<extra_head> const heads{{9, torch::rand({512}), 0.F}};
  class_activation const cams(net, groups, heads, {.scales = {1, 0.5}});
  cambium::cpu const where{.threads = 1};
  for (auto const& [h, w] : {std::pair{50, 77}, {1, 1}, {3, 90}}) {
    auto const result = cams.of(where, noise(h, w), std::vector<int>{9, 3});
    CHECK(result.classes == std::vector<int>{9, 3});
    CHECK(result.maps.shape() == decltype(result.maps.shape()){2, (h - 1) / 4 + 1, (w - 1) / 4 + 1});
    for (float const v : result.maps.cells()) REQUIRE((v >= 0 && v < 1));
    CHECK(equal(result.maps, cams.of(where, noise(h, w), std::vector<int>{9, 3}).maps));
  }
  // at a size whose quarter halves exactly a mirror image gives the mirrored maps, but for the order of sums
  class_activation const one(net, groups, {}, {.scales = {1}});
  auto const a = one.of(where, noise(64, 96), std::vector<int>{5}),
             b = one.of(where, noise(64, 96, true), std::vector<int>{5});
  for (std::int64_t y = 0; y < 16; ++y)
    for (std::int64_t x = 0; x < 24; ++x) REQUIRE(a.maps(0, y, x) == Approx(b.maps(0, y, 23 - x)).margin(1e-3));

  auto const none = cams.of(where, noise(30, 30), std::vector<int>{});
  CHECK(none.maps.shape()[0] == 0);
  class_activation const strict(net, groups, heads, {.scales = {1}, .least_score = 1});
  CHECK(strict.of(where, noise(40, 40), std::nullopt).classes.size() == 1);  // the highest
  class_activation const lax(net, groups, heads, {.scales = {1}, .least_score = 0});
  CHECK(lax.of(where, noise(40, 40), std::nullopt).classes == std::vector<int>{3, 5, 9});
  CAMBIUM_THROWS_SAYING(static_cast<void>(cams.of(where, noise(9, 9), std::vector<int>{7})), precondition_error,
                        "class 7 has neither");
  CHECK_THROWS_AS(class_activation(net, groups, heads, {.scales = {}}), precondition_error);
  CHECK_THROWS_AS(class_activation(net, groups, heads, {.scales = {0}}), precondition_error);
  CHECK_THROWS_AS(class_activation(net, groups, {{5, torch::rand({512}), 0.F}}), precondition_error);
}

TEST_CASE("Boundaries are pooled to cells that count what there is", "[picture]")
{
  torch::manual_seed(1);
  pidinet p({4, 3});
  auto const photograph = noise(13, 18);
  torch::NoGradGuard const guard;
  auto const full = p.forward(to_tensor(photograph))[0][0];
  auto const mean = boundary_map(p, photograph), most = boundary_map(p, photograph, 4, pooling::largest);
  REQUIRE(mean.shape() == decltype(mean.shape()){4, 5});
  for (std::int64_t y = 0; y < 4; ++y)
    for (std::int64_t x = 0; x < 5; ++x) {
      auto const cell = full.slice(0, 4 * y, std::min<std::int64_t>(13, 4 * y + 4))
                            .slice(1, 4 * x, std::min<std::int64_t>(18, 4 * x + 4));
      CHECK(mean(y, x) == Approx(cell.mean().item<float>()).margin(1e-5));
      CHECK(most(y, x) == Approx(cell.max().item<float>()).margin(1e-5));
    }
  CHECK(boundary_map(p, photograph, 1).shape() == decltype(mean.shape()){13, 18});
  CHECK_THROWS_AS(boundary_map(p, photograph, 0), precondition_error);
}

TEST_CASE("Groups are read from lists and from objects", "[property]")
{
  support::temporary_folder const folder;
  auto const file = folder / "groups.json";
  cambium::replace_file(
      file, R"({"note":"x","map":{"dog":{"voc_class":12,"core":[3,4],"extra":[9]},"man":{"class":15,"core":[]}}})");
  auto const core = read_groups(file, "core", 10);
  REQUIRE(core.size() == 1);
  CHECK(core[0].number == 12);
  CHECK(core[0].name == "dog");
  CHECK(core[0].indices == std::vector<std::int64_t>{3, 4});
  cambium::replace_file(file, R"({"z":[1],"a":[2,0]})");
  auto const plain = read_groups(file, "indices", 10);
  REQUIRE(plain.size() == 2);
  CHECK(plain[0].name == "z");
  CHECK(plain[1].number == 2);
  CHECK(each_output_alone(20)[19].number == 20);
  CHECK_THROWS_AS(each_output_alone(1000), precondition_error);
  auto const says = [&](std::string const& text, std::string const& words) {
    auto const message = groups_refused(file, text);
    UNSCOPED_INFO(message);
    return message.rfind(file.string(), 0) == 0 && message.find(words) != std::string::npos;
  };
  CHECK(says("[", "parse"));
  CHECK(says("[]", "an entry for each class"));
  CHECK(says(R"({"a":{"class":1,"core":[1]}})", "no class with a list 'indices'; there are core"));
  CHECK(says(R"({"a":{"indices":[1]}})", "class 'a' has no number"));
  CHECK(says(R"({"a":{"class":0,"indices":[1]}})", "outside 1..254"));
  CHECK(says(R"({"a":{"class":99999999999,"indices":[1]}})", "beyond 254"));
  CHECK(says(R"({"a":[10]})", "the index 10; the classifier's are 0..9"));
  CHECK(says(R"({"a":[-1]})", "the index -1"));
  CHECK(says(R"({"a":[1,1]})", "an index twice"));
  CHECK(says(R"({"a":{"class":1,"indices":[1]},"b":{"class":1,"indices":[2]}})", "of another class"));
  CHECK(says(R"({"a":3})", "no list of indices"));

  write_safetensors(folder / "h", {{"head.weight", torch::ones({1, 8, 1, 1})}, {"head.bias", torch::full({1}, 2.F)}});
  auto const head = read_head(15, folder / "h", 8);
  CHECK(head.weight.sizes() == torch::IntArrayRef{8});
  CHECK(head.bias == 2.F);
  CHECK_THROWS_AS(read_head(15, folder / "h", 9), io_error);
  write_safetensors(folder / "h", {{"head.weight", torch::ones({8})}});
  CAMBIUM_THROWS_SAYING(static_cast<void>(read_head(15, folder / "h", 8)), io_error, "lacks its bias");
}

TEST_CASE("Classifiers open by name, with as many classes as the file has", "[errors]")
{
  support::temporary_folder const folder;
  squeezenet const net(4);
  save_weights(net, folder / "s.safetensors");
  CHECK(open_classifier("squeezenet", folder / "s.safetensors")->class_weights().size(0) == 4);
  CAMBIUM_THROWS_SAYING(static_cast<void>(open_classifier("mobilenet_v2", folder / "s.safetensors")), io_error,
                        "'fc.weight' is missing");
  CHECK_THROWS_AS(open_classifier("vgg", folder / "s.safetensors"), precondition_error);
}

TEST_CASE("A batch goes on past bad files, keeps what it made, and knows when it was made otherwise", "[property]")
{
  support::temporary_folder const folder;
  for (std::string const id : {"a", "b", "d"})
    cambium::replace_file(folder / (id + ".png"), cambium::format_photograph_png(noise(9, 10)));
  cambium::replace_file(folder / "c.png", "no picture");
  photograph_settings s;
  s.images = (folder / "{id}.png").string();
  s.out = (folder / "out/{id}.npy").string();
  s.threads = 1;
  auto const set = labelling::find_images("", s.images, "");
  REQUIRE(set.ids.size() == 4);
  int made = 0;
  photograph_work work;
  work.program = "work";
  work.made_with = {{"value", 1}};
  work.memory = [](cambium::extent2) { return 1e6; };
  work.size_of = [](cambium::extent2 e) { return e; };
  work.keeps = [](auto const&, auto const&) { return true; };
  work.save = [] {};
  work.make = [&](std::string const& id, cambium::grid<std::uint8_t, 3> const& p) {
    ++made;
    if (id == "d") throw precondition_error("d is refused");
    auto const out = cambium::make_grid<float>({p.shape()[0], p.shape()[1]});
    return cambium::format_npy(out.view());
  };
  CHECK(run_photographs(s, set, work) == 1);
  CHECK(made == 3);
  CHECK(fs::exists(folder / "out/a.npy"));
  CHECK(fs::exists(folder / "out/b.npy"));
  CHECK_FALSE(fs::exists(folder / "out/c.npy"));
  CHECK_FALSE(fs::exists(folder / "out/d.npy"));
  made = 0;
  CHECK(run_photographs(s, set, work) == 1);  // a and b are kept
  CHECK(made == 1);
  cambium::replace_file(folder / "out/a.npy", "half a fi");
  made = 0;
  CHECK(run_photographs(s, set, work) == 1);
  CHECK(made == 2);
  made = 0;
  work.made_with = {{"value", 2}};
  CHECK(run_photographs(s, set, work) == 2);
  CHECK(made == 0);
  s.overwrite = true;
  CHECK(run_photographs(s, set, work) == 1);
  CHECK(made == 3);
  fs::remove(folder / "out/work.json");
  s.overwrite = false;
  CHECK(run_photographs(s, set, work) == 2);  // nobody says how these were made
  s.overwrite = true;
  s.memory = 0.0001;
  made = 0;
  CHECK(run_photographs(s, set, work) == 1);
  CHECK(made == 0);
  CHECK_FALSE(fs::exists(folder / "out/a.npy"));

  CHECK(file_beside("cams/{id}.npy", "tags", ".txt") == fs::path("cams/tags.txt"));
  CHECK(file_beside("x/{id}/cam.npy", "tags", ".txt") == fs::path("x/tags.cam.npy.txt"));
  CHECK(file_beside("{id}.npy", "cams", ".json") == fs::path("cams.json"));
}

TEST_CASE("a classifier of one's own training gives the maps it gave there", "[property]")
{
  support::temporary_folder const tmp;
  torch::manual_seed(3);
  cam_network network(small_resnet(8, {.strides = {1, 2, 2, 1}}), 4);
  network.eval();
  save_weights(network, tmp / "cam.safetensors");
  auto const opened = open_classifier("irnet", tmp / "cam.safetensors", {});
  torch::NoGradGuard const still;
  auto const rgb = torch::rand({2, 3, 40, 56}) * 255;
  auto const seen = opened->prepare(rgb);
  auto const maps = torch::relu(torch::einsum("kf,bfyx->bkyx", {opened->class_weights(), opened->features(seen)}));
  REQUIRE(maps.sizes() == network.cam(seen).sizes());
  CHECK(torch::allclose(maps, network.cam(seen), 1e-4, 1e-5));
  CHECK(torch::allclose(opened->forward(rgb), network.forward(seen), 1e-4, 1e-5));
  CHECK(network.cam(seen).max().item<float>() > 0);

  save_weights(*small_resnet(8), tmp / "other.safetensors");
  CHECK_THROWS_WITH(open_classifier("irnet", tmp / "other.safetensors", {}),
                    says("is no classifier of 'trainer irnet'"));
}
