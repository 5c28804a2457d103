#include "program/instance_network.hpp"

#include "data/survey.hpp"
#include "method/irnet.hpp"
#include "method/pseudo_labels.hpp"
#include "method/scores.hpp"
#include "network/hrnet.hpp"
#include "network/irnet_heads.hpp"
#include "network/module_weights.hpp"
#include "network/panoptic_deeplab.hpp"
#include "network/published.hpp"
#include "network/resnet.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/png.hpp>

#include <nlohmann/json.hpp>

#include <cstdio>

namespace trainer {

void add_network_flags(CLI::App& app, instance_network_flags& f)
{
  app.add_option("--network", f.network, "small: for two cores; resnet50, hrnet32, hrnet48: the published ones")
      ->check(CLI::IsMember({"small", "resnet50", "hrnet32", "hrnet48"}))
      ->capture_default_str();
  app.add_option("--weights", f.weights, "safetensors of an ImageNet classifier, for the published ones");
  app.add_option("--classifier", f.classifier, "small: cam.safetensors of 'trainer irnet', to begin with");
}

std::shared_ptr<bestie_network> make_instance_network(instance_network_flags const& f, std::size_t classes)
{
  auto const C = static_cast<std::int64_t>(classes);
  cambium::expects(f.network == "small" ? f.weights.empty() : f.classifier.empty(), "--network ", f.network,
                   f.network == "small" ? ": begins with --classifier, not with --weights"
                                        : ": begins with --weights, not with --classifier");
  if (f.network == "small") {
    resnet_options body;
    body.strides = {1, 2, 2, 1};
    auto const width = small_irnet().backbone.width;
    auto const backbone = small_resnet(width, body);
    if (!f.classifier.empty()) load_cam_backbone(*backbone, f.classifier);
    return small_panoptic_deeplab(width, C, backbone);
  }
  if (f.network == "resnet50") {
    resnet_options body;
    body.norm.momentum = 0.01;
    auto const backbone = resnet50(body);
    if (!f.weights.empty()) load_weights(*backbone, f.weights, published_resnet(false));
    return std::make_shared<panoptic_deeplab>(backbone, C);
  }
  auto const network = f.network == "hrnet32" ? hrnet_w32(C) : hrnet_w48(C);
  if (!f.weights.empty()) load_weights(*network, f.weights, published_hrnet());
  return network;
}

std::string words_of(instance_network_flags const& f)
{
  auto const& first = f.network == "small" ? f.classifier : f.weights;
  return f.network + " from '" + first + "'" + contents_of(std::filesystem::path(first));
}

void write_instances(dataset const& images, bestie_network& network, bestie_inference_options const& how,
                     std::filesystem::path const& out, bool scored, std::vector<std::string>& failed)
{
  pseudo_label_options numbers;
  for (std::size_t c = 0; c < images.class_names().size(); ++c)
    numbers.category_ids.push_back(images.category_id(static_cast<std::int32_t>(c)));
  pseudo_labels pseudo(images.class_names(), numbers);
  scoring scores_of(static_cast<std::int32_t>(images.class_names().size()));
  for (std::size_t i = 0; i < images.size(); ++i) try {
      auto const image = images.load(i);
      auto const found = bestie_find(image.photograph, network, how).objects;
      cambium::replace_file(out / "instances" / (image.id + ".png"), cambium::format_ids(found.label));
      pseudo.add(images.file_name(i), found, images.image_id(i));
      if (scored) {
        auto const truth = images.truth(i);
        auto const ignored = images.ignored(i);
        scores_of.add_instances(found, truth, ignored);
        scores_of.add_semantic(semantic_of(found), truth, ignored);
      }
    } catch (std::exception const& e) {
      failed.push_back(images.id(i) + ": " + e.what());
      std::fprintf(stderr, "%s\n", failed.back().c_str());
    }
  pseudo.write_dataset(out / "pseudo.json");
  pseudo.write_results(out / "results.json");
  if (!scored) return;
  auto const s = scores_of.result();
  auto json = json_of(s);
  json["images"] = images.size() - failed.size();
  cambium::replace_file(out / "scores.json", json.dump(1) + "\n");
  std::printf("percent: AP@.25 %.1f  AP@.5 %.1f  AP@.7 %.1f  AP@.75 %.1f  mIoU of the instances %.1f\n", 100 * s.ap25,
              100 * s.ap50, 100 * s.ap70, 100 * s.ap75, 100 * s.miou);
}

}  // namespace trainer
