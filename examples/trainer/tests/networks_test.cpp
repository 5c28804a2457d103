#include "network/at_size.hpp"
#include "network/hrnet.hpp"
#include "network/irnet_heads.hpp"
#include "network/module_weights.hpp"
#include "network/panoptic_deeplab.hpp"
#include "network/published.hpp"
#include "network/resnet.hpp"
#include "network/vgg_pam.hpp"

#include <torch/torch.h>

#include <cambium/activation/peak_attention.hpp>
#include <cambium/core/error.hpp>
#include <cambium/interop/torch.hpp>

#include <memory>
#include <string>
#include <vector>

#include "support/temporary.hpp"

#include "support/catch.hpp"

using namespace trainer;

namespace {

std::int64_t count(torch::nn::Module const& m)
{
  std::int64_t n = 0;
  for (auto const& p : m.parameters()) n += p.numel();
  return n;
}

std::vector<std::int64_t> shape(torch::Tensor const& t) { return t.sizes().vec(); }

std::shared_ptr<resnet> tiny(batch_norm mode = batch_norm::live)
{
  resnet_options o;
  o.strides = {1, 2, 2, 1};
  o.norm.mode = mode;
  return small_resnet(8, o);
}

bool has_gradient(torch::nn::Module const& m, std::string const& name)
{
  auto const p = m.named_parameters();
  auto const* t = p.find(name);
  REQUIRE(t != nullptr);
  return t->grad().defined() && t->grad().abs().sum().item<double>() > 0;
}

named_tensors copies_of(torch::nn::Module const& m)
{
  named_tensors out;
  for (auto const& [name, t] : tensors_of(m)) out[name] = t.detach().clone();
  return out;
}

/// Sets every tensor of floating point to other values, so that what is loaded can be told from what was there.
void scramble(named_tensors& all)
{
  for (auto& [name, t] : all)
    if (t.is_floating_point()) t.uniform_(0.1, 1);
}

bool same(named_tensors const& a, named_tensors const& b, std::string const& prefix_a, std::string const& prefix_b)
{
  std::size_t compared = 0;
  for (auto const& [name, t] : a) {
    if (name.rfind(prefix_a, 0) != 0) continue;
    auto const other = b.find(prefix_b + name.substr(prefix_a.size()));
    if (other == b.end() || !torch::equal(other->second, t)) {
      UNSCOPED_INFO("differs: " << name);
      return false;
    }
    ++compared;
  }
  return compared > 0;
}

}  // namespace

TEST_CASE("published networks have as many parameters as published", "[reference]")
{
  resnet_options with_fc;
  with_fc.classes = 1000;
  CHECK(count(*resnet50(with_fc)) == 25557032);  // torchvision
  CHECK(count(*resnet101(with_fc)) == 44549160);
  with_fc.block = residual_kind::basic;
  with_fc.layers = {2, 2, 2, 2};
  CHECK(count(resnet(with_fc)) == 11689512);  // resnet18

  // vgg16's features and what is put on them
  CHECK(count(vgg_pam(20)) == 14714688 + 3 * (512 * 512 * 9 + 512) + (512 * 20 + 20));
  auto const heads = [](std::int64_t w, std::int64_t C) {
    return 3 * (w * 256 * 9 + 256) + 256 * (C + 1 + C + 2) + C + 1 + C + 2;
  };
  // the trunks of pose_hrnet: 28.5 and 63.6 million with a 1x1 convolution to 17 joints
  auto const w32 = count(*hrnet_w32(20)) - heads(32, 20) + 32 * 17 + 17;
  auto const w48 = count(*hrnet_w48(20)) - heads(48, 20) + 48 * 17 + 17;
  INFO(w32 << " " << w48);
  CHECK(w32 / 10000 == 2853);
  CHECK(w48 / 10000 == 6359);
}

TEST_CASE("the names are the published ones", "[reference]")
{
  auto const hr = hrnet_w32(20)->named_parameters();
  for (char const* name :
       {"conv2.weight", "layer1.0.downsample.1.bias", "transition1.0.0.weight", "transition1.1.0.0.weight",
        "transition2.2.0.1.weight", "stage2.0.branches.0.0.conv1.weight", "stage2.0.fuse_layers.0.1.0.weight",
        "stage3.3.fuse_layers.2.0.0.0.weight", "stage3.3.fuse_layers.2.0.1.1.bias", "stage4.2.fuse_layers.0.3.1.bias",
        "seg.0.weight", "center.2.bias", "offset.2.weight"})
    CHECK(hr.contains(name));
  CHECK_FALSE(hr.contains("stage4.2.fuse_layers.1.0.0.0.weight"));
  CHECK_FALSE(hr.contains("transition2.0.0.weight"));

  auto const dl = panoptic_deeplab(resnet50(), 20).named_parameters();
  for (char const* name :
       {"backbone.layer4.2.conv3.weight", "decoder.semantic_decoder.aspp.convs.0.0.weight",
        "decoder.semantic_decoder.aspp.convs.4.aspp_pooling.1.weight", "decoder.instance_decoder.aspp.project.1.bias",
        "decoder.instance_decoder.project.2.0.weight", "decoder.semantic_decoder.fuse.0.0.0.0.weight",
        "decoder.semantic_decoder.fuse.0.0.1.weight", "decoder.semantic_decoder.fuse.0.0.2.bias",
        "decoder.semantic_head.classifier.seg.0.0.0.1.weight", "decoder.semantic_head.classifier.seg.1.bias",
        "decoder.instance_head.classifier.center.1.weight", "decoder.instance_head.classifier.offset.0.0.1.weight"})
    CHECK(dl.contains(name));
  CHECK(dl["decoder.instance_decoder.project.2.0.weight"].size(0) == 16);
  CHECK(dl["decoder.instance_head.classifier.offset.1.weight"].size(1) == 32);

  auto const irn = boundary_displacement_network(resnet50({.strides = {1, 2, 2, 1}})).named_parameters();
  CHECK(shape(irn["fc_edge3.0.weight"]) == std::vector<std::int64_t>{32, 512, 1, 1});
  CHECK(shape(irn["fc_edge3.1.weight"]) == std::vector<std::int64_t>{32});
  CHECK(shape(irn["fc_edge6.weight"]) == std::vector<std::int64_t>{1, 160, 1, 1});
  CHECK(irn.contains("fc_edge6.bias"));
  CHECK(shape(irn["fc_dp6.0.weight"]) == std::vector<std::int64_t>{256, 768, 1, 1});
  CHECK(shape(irn["fc_dp7.0.weight"]) == std::vector<std::int64_t>{256, 448, 1, 1});
  CHECK(shape(irn["fc_dp7.3.weight"]) == std::vector<std::int64_t>{2, 256, 1, 1});
  CHECK_FALSE(irn.contains("fc_dp7.3.bias"));

  auto const vgg = vgg_pam(20).named_parameters();
  for (char const* name : {"features.0.weight", "features.28.bias", "extra_conv1.weight", "extra_conv4.bias"})
    CHECK(vgg.contains(name));
}

TEST_CASE("outputs have the sizes of their strides, odd images too", "[property]")
{
  torch::NoGradGuard const none;
  auto const body = tiny();
  auto const stages = body->forward(torch::rand({2, 3, 65, 98}));
  std::vector<std::vector<std::int64_t>> const expected{
      {2, 8, 17, 25}, {2, 8, 17, 25}, {2, 16, 9, 13}, {2, 32, 5, 7}, {2, 64, 5, 7}};
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(shape(stages[i]) == expected[i]);
    CHECK(body->channels()[i] == expected[i][1]);
  }
  CHECK(body->strides() == std::array<std::int64_t, 5>{4, 4, 8, 16, 16});

  boundary_displacement_network irn(tiny(), {.head_width = 0.25});
  cam_network cam(tiny(), 6);
  panoptic_deeplab deeplab(tiny(), 6, {.semantic = {8, {8, 4, 4}, 8}, .instance = {8, {4, 4, 4}, 8}});
  for (auto const& [H, W] : std::vector<std::pair<std::int64_t, std::int64_t>>{{65, 98}, {33, 31}, {64, 64}}) {
    auto const image = torch::rand({1, 3, H, W});
    auto const said = irn.forward(image);
    CHECK(shape(said.boundary) == std::vector<std::int64_t>{1, 1, (H + 3) / 4, (W + 3) / 4});
    CHECK(shape(said.displacement) == std::vector<std::int64_t>{1, 2, (H + 3) / 4, (W + 3) / 4});
    CHECK(shape(cam.forward(image)) == std::vector<std::int64_t>{1, 6});
    CHECK(shape(cam.cam(image)) == std::vector<std::int64_t>{1, 6, (H + 15) / 16, (W + 15) / 16});
    deeplab.eval();  // one image's mean has no deviation
    auto const maps = deeplab.forward(image);
    CHECK(shape(maps.seg) == std::vector<std::int64_t>{1, 7, H, W});
    CHECK(shape(maps.centre) == std::vector<std::int64_t>{1, 6, H, W});
    CHECK(shape(maps.offset) == std::vector<std::int64_t>{1, 2, H, W});
    auto const half = deeplab.semantic(image);
    CHECK(shape(half.logits) == std::vector<std::int64_t>{1, 7, (H + 3) / 4, (W + 3) / 4});
    CHECK(shape(half.features) == std::vector<std::int64_t>{1, deeplab.feature_channels(), (H + 3) / 4, (W + 3) / 4});
    CHECK(torch::equal(at_size(half.logits, H, W, true), maps.seg));
  }
  auto const fine = small_hrnet(4, 6);
  CHECK(shape(fine->features(torch::rand({1, 3, 64, 96}))) == std::vector<std::int64_t>{1, 4, 16, 24});
  fine->eval();
  auto const picture = torch::rand({1, 3, 64, 96});
  auto const half = fine->semantic(picture);
  CHECK(shape(half.features) == std::vector<std::int64_t>{1, fine->feature_channels(), 16, 24});
  CHECK(torch::equal(at_size(half.logits, 64, 96), fine->forward(picture).seg));
  fine->train();
  CHECK(shape(fine->forward(torch::rand({1, 3, 64, 96})).seg) == std::vector<std::int64_t>{1, 7, 64, 96});
  CAMBIUM_THROWS_SAYING(fine->forward(torch::rand({1, 3, 65, 96})), cambium::precondition_error, "multiples of 32");
  vgg_pam vgg(20,
              {.layers = {4, vgg_halve, 4, vgg_halve, 4, vgg_halve, 4, vgg_widen, 4}, .dilated_from = 8, .extra = 4});
  CHECK(shape(vgg.maps(torch::rand({1, 3, 65, 98}))) == std::vector<std::int64_t>{1, 20, 8, 12});
}

TEST_CASE("a class map's mean is the classifier's score", "[property]")
{
  torch::NoGradGuard const none;
  auto const image = torch::rand({2, 3, 64, 64});
  cam_network cam(tiny(), 6);
  cam.eval();
  // rectified maps: compare where the rectifier does nothing, with weights above 0 (features are)
  for (auto& p : cam.named_parameters())
    if (p.key() == "classifier.weight") p.value().abs_();
  CHECK(torch::allclose(cam.cam(image).mean({2, 3}), cam.forward(image), 1e-4, 1e-5));
  vgg_pam vgg(6, small_vgg_pam(4, 0.7));
  vgg.eval();
  CHECK(torch::allclose(vgg.maps(image).mean({2, 3}), vgg.forward(image), 1e-4, 1e-6));
}

TEST_CASE("held normalisations do not move, live ones do", "[property]")
{
  auto const image = torch::rand({2, 3, 64, 64}) * 3;
  for (auto const mode : {batch_norm::live, batch_norm::statistics, batch_norm::frozen}) {
    auto const net = tiny(mode);
    net->train();
    auto const before = net->named_buffers()["layer2.0.bn1.running_mean"].clone();
    net->forward(image).back().sum().backward();
    auto const after = net->named_buffers()["layer2.0.bn1.running_mean"];
    CHECK(torch::equal(before, after) == (mode != batch_norm::live));
    auto const weight = net->named_parameters()["layer2.0.bn1.weight"];
    CHECK(weight.requires_grad() == (mode != batch_norm::frozen));
    CHECK(weight.grad().defined() == (mode != batch_norm::frozen));
    torch::NoGradGuard const none;
    auto const training = net->forward(image).back();
    net->eval();
    CHECK(torch::allclose(training, net->forward(image).back(), 1e-4, 1e-4) == (mode != batch_norm::live));
  }
}

TEST_CASE("gradients stop where they are said to", "[property]")
{
  auto const image = torch::rand({2, 3, 64, 64});
  for (bool const stops : {true, false}) {
    auto const body = tiny();
    cam_network cam(body, 6, {.stop_after_layer2 = stops});
    cam.forward(image).sum().backward();
    CHECK(has_gradient(*body, "layer2.0.conv1.weight") == !stops);
    CHECK(has_gradient(*body, "layer3.0.conv1.weight"));
  }
  for (bool const detached : {true, false}) {
    auto const body = tiny();
    boundary_displacement_network irn(body, {.head_width = 0.25, .detach_stages = detached});
    auto const said = irn.forward(image);
    (said.boundary.square().sum() + said.displacement.square().sum()).backward();
    CHECK(has_gradient(*body, "layer4.0.conv1.weight") == !detached);
    CHECK(has_gradient(irn, "fc_dp5.0.weight"));
    CHECK(has_gradient(irn, "fc_edge1.0.weight"));
  }
}

TEST_CASE("the mean displacement is taken off in evaluation only", "[property]")
{
  torch::NoGradGuard const none;
  boundary_displacement_network irn(tiny(batch_norm::frozen), {.head_width = 0.25});
  auto const image = torch::rand({1, 3, 64, 64});
  irn.mean_displacement().copy_(torch::tensor({2.f, -3.f}));
  irn.train();
  auto const training = irn.forward(image).displacement;
  irn.eval();
  auto const off = training - irn.forward(image).displacement;
  CHECK(torch::allclose(off.select(1, 0), torch::full_like(off.select(1, 0), 2.f), 1e-4, 1e-5));
  CHECK(torch::allclose(off.select(1, 1), torch::full_like(off.select(1, 1), -3.f), 1e-4, 1e-5));
}

TEST_CASE("peak attention inside a network is cambium's", "[reference]")
{
  torch::manual_seed(3);
  auto x = torch::randn({2, 5, 7, 9});
  x[0][1] = -torch::rand({7, 9});  // nothing is positive
  x[0][2][3][3] = x[0][2].max();   // two maxima
  for (double const alpha : {0.0, 0.3, 0.7, 1.0}) {
    auto in = x.clone().requires_grad_();
    auto const out = attend_to_peaks(in, alpha);
    auto const down = torch::randn_like(out);
    out.backward(down);
    for (int b = 0; b < 2; ++b) {
      auto const maps = x[b].contiguous();
      auto const view = cambium::tensor_view<float const, 3>(maps, "maps");
      auto const kept = cambium::into_tensor(cambium::peak_attention(cambium::cpu{}, view, {.alpha = alpha}));
      CHECK(torch::equal(out[b].detach(), kept));
      auto const g = down[b].contiguous();
      auto const back = cambium::into_tensor(cambium::peak_attention_gradient(
          cambium::cpu{}, view, cambium::tensor_view<float const, 3>(g, "gradient"), {.alpha = alpha}));
      CHECK(torch::equal(in.grad()[b], back));
    }
  }
  CHECK_THROWS_AS(attend_to_peaks(x, 1.5), cambium::precondition_error);
  CHECK_THROWS_AS(attend_to_peaks(x[0], 0.5), cambium::precondition_error);
}

TEST_CASE("rates of the classifier's layers are the original's", "[reference]")
{
  CHECK(vgg_pam::rate_of("features.0.weight") == 1);
  CHECK(vgg_pam::rate_of("features.0.bias") == 2);
  CHECK(vgg_pam::rate_of("extra_conv4.weight") == 10);
  CHECK(vgg_pam::rate_of("extra_conv1.bias") == 20);
}

TEST_CASE("published names lead to the right tensors", "[reference]")
{
  support::temporary_folder const folder;
  auto const file = folder / "net.safetensors";

  SECTION("IRNet's classifier, with everything it holds twice")
  {
    cam_network from(tiny(), 6), to(tiny(), 6);
    named_tensors all;
    auto source = copies_of(from);
    scramble(source);
    for (auto const& [name, t] : source) {
      bool const body = name.rfind("backbone.", 0) == 0;
      std::string const rest = body ? name.substr(9) : name;
      all["module." + (body ? "resnet50." + rest : name)] = t;
      all["module." + (body ? "backbone.0." + rest : "newly_added.0.weight")] = t.clone();
      if (body) all["module.stage1.0." + rest] = t.clone();
    }
    write_safetensors(file, all);
    load_weights(to, file, published_irnet_cam());
    CHECK(same(source, tensors_of(to), "", ""));

    all.erase("module.resnet50.layer3.0.conv2.weight");
    all["module.classifier.weight"] = torch::zeros({5, 64, 1, 1});
    write_safetensors(file, all);
    auto const message = support::refusal([&] { load_weights(to, file, published_irnet_cam()); });
    CHECK(message.find(file.string()) != std::string::npos);
    CHECK(message.find("backbone.layer3.0.conv2.weight") != std::string::npos);
    CHECK(message.find("classifier.weight") != std::string::npos);
    CHECK(same(source, tensors_of(to), "", ""));  // nothing was changed
  }
  SECTION("IRNet's second network")
  {
    boundary_displacement_network from(tiny(), {.head_width = 0.25}), to(tiny(), {.head_width = 0.25});
    auto source = copies_of(from);
    scramble(source);
    named_tensors all;
    for (auto const& [name, t] : source) {
      bool const body = name.rfind("backbone.", 0) == 0;
      all[body ? "resnet50." + name.substr(9) : name] = t;
      all[body ? "stage5.0." + name.substr(9) : "dp_layers." + name] = t.clone();
    }
    all["mean_shift.running_mean"] = torch::zeros(2);
    all["fc_dp7.4.running_var"] = torch::ones(2);
    all["fc_dp7.4.num_batches_tracked"] = torch::zeros({}, torch::kLong);
    all["path_indices0"] = torch::zeros({2, 3}, torch::kLong);
    write_safetensors(file, all);
    load_weights(to, file, published_irnet());
    CHECK(same(source, tensors_of(to), "", ""));
    CHECK(torch::equal(to.mean_displacement(), source["fc_dp7.4.running_mean"]));
  }
  SECTION("BESTIE's HRNet, and HRNet's own weights into it")
  {
    auto const from = small_hrnet(4, 6), to = small_hrnet(4, 6), third = small_hrnet(4, 6);
    auto source = copies_of(*from);
    scramble(source);
    named_tensors all, trunk;
    for (auto const& [name, t] : source) {
      all["module." + name] = t;
      if (name.rfind("seg.", 0) != 0 && name.rfind("center.", 0) != 0 && name.rfind("offset.", 0) != 0)
        trunk[name] = t.clone();
    }
    write_safetensors(file, all);
    load_weights(*to, file, published_bestie());
    CHECK(same(source, tensors_of(*to), "", ""));
    trunk["final_layer.weight"] = torch::zeros({17, 4, 1, 1});
    write_safetensors(file, trunk);
    auto const heads = copies_of(*third);
    load_weights(*third, file, published_hrnet());
    CHECK(same(source, tensors_of(*third), "stage4.", "stage4."));
    CHECK(same(heads, tensors_of(*third), "seg.", "seg."));
    CHECK(support::refusal([&] { load_weights(*third, file, published_bestie()); }).find("final_layer.weight") !=
          std::string::npos);
  }
  SECTION("VGG-16 and the classifier of peaks")
  {
    vgg_pam_options small{.layers = {4, vgg_halve, 4}, .extra = 4};
    vgg_pam from(6, small), to(6, small), third(6, small);
    auto source = copies_of(from);
    scramble(source);
    named_tensors all = source, plain;
    for (auto const& [name, t] : source)
      if (name.rfind("features.", 0) == 0) plain[name] = t.clone();
    all["layer1_conv1.weight"] = source["features.0.weight"].clone();
    write_safetensors(file, all);
    load_weights(to, file, published_pam());
    CHECK(same(source, tensors_of(to), "", ""));
    plain["classifier.0.weight"] = torch::zeros({8, 8});
    write_safetensors(file, plain);
    load_weights(third, file, published_vgg16());
    CHECK(same(source, tensors_of(third), "features.", "features."));
  }
}
