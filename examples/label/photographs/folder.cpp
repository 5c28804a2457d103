#include "photographs/folder.hpp"

#include <cambium/io/file.hpp>
#include <cambium/io/text.hpp>

#include <algorithm>
#include <filesystem>
#include <string_view>

namespace labelling {

using namespace cambium;
namespace fs = std::filesystem;

namespace {

/// "person,car": the names of a manifest, whose numbers voc_classes has.
std::set<int> classes_named(std::string const& names, std::map<std::string, int> const& number_of,
                            std::string const& where)
{
  std::set<int> out;
  for (std::size_t at = 0; at <= names.size();) {
    auto const end = std::min(names.find(',', at), names.size());
    std::string const name(trimmed(std::string_view(names).substr(at, end - at)));
    auto const found = number_of.find(name);
    if (found == number_of.end()) throw io_error(where + ": '" + name + "' is no class of voc_classes");
    out.insert(found->second);
    at = end + 1;
  }
  return out;
}

/// images.<id>.annotated_classes: "all...", names parted by commas, or a list of numbers. Images without it have all.
std::map<std::string, std::set<int>> read_annotated(std::string const& path)
{
  std::map<std::string, std::set<int>> out;
  auto const content = read_file(path);
  try {
    auto const manifest = json::parse(content.begin(), content.end());
    std::map<std::string, int> number_of;
    if (manifest.contains("voc_classes"))
      for (auto const& [number, name] : manifest.at("voc_classes").items())
        number_of.emplace(name.get<std::string>(), std::stoi(number));
    if (!manifest.contains("images")) return out;
    for (auto const& [id, image] : manifest.at("images").items()) {
      if (!image.contains("annotated_classes")) continue;
      auto const& classes = image.at("annotated_classes");
      std::string const where = path + ": annotated_classes of '" + id + "'";
      if (classes.is_array())
        out.emplace(id, classes.get<std::set<int>>());
      else if (auto const names = classes.get<std::string>(); names.rfind("all", 0) != 0)
        out.emplace(id, classes_named(names, number_of, where));
    }
  } catch (json::exception const& e) {
    throw io_error(path + ": " + e.what());
  } catch (std::logic_error const&) {  // stoi
    throw io_error(path + ": a number of voc_classes is none");
  }
  return out;
}

}  // namespace

photograph_folder::photograph_folder(std::string const& folder, double boundary_scale)
{
  std::error_code failure;
  if (folder.find("{id}") != std::string::npos)
    throw usage_error(folder + ": a folder is needed, without {id}; its layout is fixed");
  if (!fs::is_directory(folder, failure)) throw usage_error(folder + ": is no folder");
  auto const in = [&](std::string const& name) { return (fs::path(folder) / name).string(); };
  auto const there = [&](std::string const& name) { return fs::exists(in(name), failure); };
  settings_.images = in("{id}/image.jpg");
  settings_.truth_semantic = in("{id}/semantic.png");
  settings_.truth_instances = in("{id}/instances.png");
  settings_.tags = in("tags.txt");
  if (there("ids.txt")) settings_.ids = in("ids.txt");
  if (!there("tags.txt"))
    throw usage_error(settings_.tags + ": is missing; its lines '<id> <class> <class> ...' name the CAM channels");
  maps_ = std::make_shared<irnet_method>(settings_);
  maps_->cams = in("{id}/cam.npy");
  maps_->boundaries = in("{id}/boundary.npy");
  maps_->boundary_scale = boundary_scale;
  settings_.how = maps_;
  set_ = find_images(settings_.ids, settings_.images, settings_.tags);
  expects_objects_in_truth(set_.ids, settings_.truth_semantic, true);
  expects_objects_in_truth(set_.ids, settings_.truth_instances, false);
  if (there("manifest.json")) annotated_ = read_annotated(in("manifest.json"));
}

photograph photograph_folder::read(std::size_t place) const
{
  auto const& id = set_.ids[place];
  folder_source const from(id);
  image_files files(settings_, set_, id, from);
  photograph out;
  out.id = id;
  out.pixels = files.photograph();
  out.maps = maps_->read(files);
  auto const truth_of = [&](std::string const& name, bool semantic) {
    return parse_truth(files.file(name), files.path(name), out.maps.image, semantic);
  };
  out.is.semantic = truth_of("truth_semantic", true);
  out.is.instances = truth_of("truth_instances", false);
  if (auto const found = annotated_.find(id); found != annotated_.end()) out.annotated = found->second;
  return out;
}

}  // namespace labelling
