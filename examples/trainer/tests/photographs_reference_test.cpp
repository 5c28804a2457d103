// Golden outputs of the networks, and the maps of 32 photographs: photographs_reference_test. CAMBIUM_WEIGHTS and
// CAMBIUM_REAL name the folders; without them the status is 77, which CTest calls skipped.

#include "network/mobilenet_v2.hpp"
#include "network/module_weights.hpp"
#include "network/pidinet.hpp"
#include "network/squeezenet.hpp"
#include "program/boundary_map.hpp"
#include "program/class_activation.hpp"
#include "program/groups.hpp"

#include "image_set.hpp"

#include <cambium/io/jpeg.hpp>
#include <cambium/io/npy.hpp>

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

using namespace trainer;
namespace fs = std::filesystem;

namespace {

int failures = 0;

/// Prints how far two arrays are apart; a failure where the 99th percentile of the distance is above the limit.
void compare(std::string const& name, std::vector<float> const& got, std::vector<float> const& wanted, double limit)
{
  if (got.size() != wanted.size() || got.empty()) {
    std::printf("FAILED %s: %zu values instead of %zu\n", name.c_str(), got.size(), wanted.size());
    ++failures;
    return;
  }
  std::vector<float> apart(got.size());
  for (std::size_t i = 0; i < got.size(); ++i) apart[i] = std::fabs(got[i] - wanted[i]);
  std::sort(apart.begin(), apart.end());
  double const high = static_cast<double>(apart[(apart.size() - 1) * 99 / 100]);
  bool const good = high <= limit;  // a nan is not good
  std::printf("%s %s: 99 %% within %.2g, largest %.2g\n", good ? "ok" : "FAILED", name.c_str(), high,
              static_cast<double>(apart.back()));
  std::fflush(stdout);
  failures += good ? 0 : 1;
}

std::vector<float> cells_of(torch::Tensor const& t)
{
  auto const c = t.contiguous();
  return {c.data_ptr<float>(), c.data_ptr<float>() + c.numel()};
}

std::vector<float> cells_of(fs::path const& file)
{
  auto const a = cambium::read_npy(file);
  std::vector<float> out(a.data.size() / sizeof(float));
  if (a.kind != 'f' || a.width != 4) throw cambium::io_error(file.string() + ": is not of float32");
  std::copy_n(a.data.data(), a.data.size(), reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

template <int Rank>
std::vector<float> cells_of(cambium::grid<float, Rank> const& g)
{
  return {g.cells().begin(), g.cells().end()};
}

void golden(fs::path const& weights)
{
  auto const ref = weights / "ref";
  auto const x = to_tensor(cambium::read_npy<std::uint8_t, 3>(ref / "input_224_rgb_u8.npy"));
  auto const y = to_tensor(cambium::read_npy<std::uint8_t, 3>(ref / "input_227_rgb_u8.npy"));
  for (std::int64_t const stride : {32, 16}) {
    mobilenet_v2 net({1000, stride});
    load_weights(net, weights / "mobilenetv2_1.0_imagenet.safetensors");
    auto const f = net.features(net.prepare(x));
    if (stride == 32) {
      compare("mobilenet_v2 conv_last", cells_of(f), cells_of(ref / "mobilenetv2_conv_last_os32.npy"), 1e-3);
      compare("mobilenet_v2 logits", cells_of(net.logits(f)), cells_of(ref / "mobilenetv2_logits_os32.npy"), 1e-3);
    } else {
      compare("mobilenet_v2 conv_last at 16, means", cells_of(f.mean({2, 3})),
              cells_of(ref / "mobilenetv2_conv_last_os16_channelmean.npy"), 1e-3);
      compare("mobilenet_v2 CAM 285", cells_of(torch::einsum("fhw,f->hw", {f[0], net.class_weights()[285]})),
              cells_of(ref / "mobilenetv2_cam285_os16.npy"), 1e-3);
    }
  }
  squeezenet s;
  load_weights(s, weights / "squeezenet_v1.0_imagenet.safetensors");
  auto const f = s.features(s.prepare(y));
  compare("squeezenet fire9", cells_of(f), cells_of(ref / "squeezenet_fire9.npy"), 1e-3);
  compare("squeezenet logits", cells_of(s.logits(f)), cells_of(ref / "squeezenet_conv10_relu_pad1_mean.npy"), 1e-3);
  for (std::string const name : {"pidinet", "pidinet_tiny"}) {
    auto const file = weights / (name + "_table5.safetensors");
    auto const content = read_safetensors(file);
    pidinet p(pidinet_options_of(content.tensors, file.string()));
    load_weights(p, content.tensors, {}, file.string());
    compare(name, cells_of(p.forward(x)), cells_of(ref / (name + "_table5_out.npy")), 1e-3);
  }
}

void photographs(fs::path const& weights, fs::path const& real)
{
  auto const net = std::make_shared<mobilenet_v2>(mobilenet_v2_options{1000, 16});
  load_weights(*net, weights / "mobilenetv2_1.0_imagenet.safetensors");
  class_activation const cams(net, read_groups(weights / "imagenet_to_voc.json", "used_in_fixtures", 1000),
                              {read_head(15, weights / "mobilenetv2_person_head.safetensors", 1280)});
  auto const content = read_safetensors(weights / "pidinet_table5.safetensors");
  pidinet p(pidinet_options_of(content.tensors, "pidinet"));
  load_weights(p, content.tensors, {}, "pidinet");
  auto const set = labelling::find_images((real / "ids.txt").string(), (real / "{id}/image.jpg").string(),
                                          (real / "tags.txt").string());
  for (auto const& id : set.ids) {
    auto const photograph = cambium::read_jpeg(real / id / "image.jpg");
    compare(id + " boundary", cells_of(boundary_map(p, photograph)), cells_of(real / id / "boundary.npy"), 1e-2);
    compare(id + " boundary max", cells_of(boundary_map(p, photograph, 4, pooling::largest)),
            cells_of(real / id / "boundary_max.npy"), 1e-2);
    auto const result = cams.of(cambium::cpu{.threads = 1}, photograph, set.tags.at(id));
    compare(id + " CAM", cells_of(result.maps), cells_of(real / id / "cam.npy"), 1e-2);
  }
}

}  // namespace

int main()
{
  char const* const weights = std::getenv("CAMBIUM_WEIGHTS");
  char const* const real = std::getenv("CAMBIUM_REAL");
  if (weights == nullptr || !fs::exists(weights)) {
    std::puts("skipped: CAMBIUM_WEIGHTS does not name a folder of weights");
    return 77;
  }
  at::set_num_threads(static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  at::NoGradGuard const guard;
  try {
    golden(weights);
    if (real == nullptr || !fs::exists(real))
      std::puts("the photographs are skipped: CAMBIUM_REAL does not name their folder");
    else
      photographs(weights, real);
  } catch (std::exception const& e) {
    std::printf("FAILED %s\n", e.what());
    return 1;
  }
  return failures == 0 ? 0 : 1;
}
