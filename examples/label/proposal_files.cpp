#include "proposal_files.hpp"

#include "image_set.hpp"
#include "record.hpp"

#include <cambium/io/file.hpp>
#include <cambium/io/json_entry.hpp>

#include <cstdio>
#include <filesystem>
#include <set>
#include <utility>

namespace labelling {

using namespace cambium;
namespace fs = std::filesystem;

void proposal_files::open(bool stability)
{
  stability_ = stability;
  if (!shared()) return;
  auto const content = read_file(path);
  shared_hash_ = hash(content);
  auto const root = parse_json(content, path);
  for (auto& p : proposals_of(root, path, {.stability = stability, .keep_errors = true})) {
    demand(p.image_id.has_value(), path,
           "has a mask without image_id; masks of one image need a file each: --proposals 'DIR/{id}.json'");
    of_image_[*p.image_id].push_back(std::move(p));
  }
  if (root.is_object() && root.contains("images"))
    read_images(root["images"]);
  else if (fs::path(path).filename() == "detections.json")
    read_manifest();
}

void proposal_files::read_images(nlohmann::json const& list)
{
  std::vector<coco_image> images;
  try {
    for_each_entry(list, path, "images", [&](json_entry const& e) { images.push_back(name_of_coco_image(e)); });
  } catch (io_error const&) {
    return;  // no list of COCO's: masks need none
  }
  listed_ = coco_names(std::move(images), path);
}

void proposal_files::read_manifest()
{
  auto const manifest = fs::path(path).parent_path() / "manifest.json";
  std::error_code failure;
  if (!fs::is_regular_file(manifest, failure)) return;
  try {
    auto const content = read_file(manifest);
    // Hashes of files are most of a manifest: they are not kept.
    auto const root = nlohmann::json::parse(
        content.begin(), content.end(), [](int, nlohmann::json::parse_event_t event, nlohmann::json const& value) {
          return event != nlohmann::json::parse_event_t::key || (value != "inputs" && value != "outputs");
        });
    if (root.at("program") != "cambium label") return;
    for (auto const& image : root.at("images")) {
      auto const number = image.at("id").get<std::int64_t>();
      name_of_[number] = image.at("name").get<std::string>();
      named_[name_of_[number]] = number;
    }
    bool all = true;
    for (auto const& [number, masks] : of_image_) all = all && name_of_.contains(number);
    if (!all) named_.clear(), name_of_.clear();  // it is of other detections
    if (all) names_hash_ = hash(content);
  } catch (std::exception const&) {
    named_.clear(), name_of_.clear();  // a manifest that cannot be read is as good as none
  }
}

std::optional<std::int64_t> proposal_files::number_of(std::string const& id, numbers const& of_coco) const
{
  auto const number = number_in(id);  // perhaps in another folder than its masks were made from
  if (!listed_.empty()) {
    auto const listed = listed_.number_of(id);
    return !listed && number ? listed_.number_of_name(*number) : listed;
  }
  if (!named_.empty()) {
    if (auto const named = named_.find(id); named != named_.end()) return named->second;
    auto const other = number ? name_of_.find(*number) : name_of_.end();
    return other != name_of_.end() && number_in(other->second) == number ? number : std::nullopt;
  }
  return of_coco ? of_coco(id) : number;
}

void proposal_files::look_at(std::vector<std::string> const& ids, numbers const& of_coco) const
{
  if (!shared() || ids.empty()) return;
  std::map<std::int64_t, std::string> first_of;
  std::size_t without = 0, others = 0;
  std::string first_without;
  std::int64_t first_other = 0;
  for (auto const& id : ids) {
    std::optional<std::int64_t> number;
    try {
      number = number_of(id, of_coco);
    } catch (io_error const&) {
      // its image will say so
    }
    if (number) {
      auto const [other, fresh] = first_of.try_emplace(*number, id);
      if (!fresh)
        throw usage_error(path + ": '" + other->second + "' and '" + id + "' are both its image " +
                          std::to_string(*number) + "; --proposals 'DIR/{id}.json' names a file for each");
    }
    if (number && of_image_.contains(*number)) continue;
    if (without++ == 0) first_without = id;
  }
  for (auto const& [number, masks] : of_image_)
    if (!first_of.contains(number) && others++ == 0) first_other = number;
  std::string const numbers_text = "(first image_id " + std::to_string(first_other) + ")";
  if (ids.size() > 1 && without == ids.size() && !of_image_.empty())
    throw usage_error(path + ": has masks of " + std::to_string(of_image_.size()) + " images " + numbers_text +
                      ", and none of them is one of the " + std::to_string(ids.size()) + " images (first '" +
                      first_without + "')");
  std::string text;
  if (without > 0)
    text = "has no mask of " + std::to_string(without) + " of " + std::to_string(ids.size()) + " images (first '" +
           first_without + "')";
  if (others > 0)
    text += (text.empty() ? "has" : ", but") + std::string(" masks of ") + std::to_string(others) +
            " images that are not labelled " + numbers_text;
  if (auto const note = listed_.note_on(ids); !note.empty()) std::fprintf(stderr, "note: %s\n", note.c_str());
  if (!text.empty()) std::fprintf(stderr, "note: %s: %s\n", path.c_str(), text.c_str());
}

std::vector<mask_proposal> proposal_files::find(image_files& files, numbers const& of_coco) const
{
  if (!shared())
    return parse_proposals(files.file("proposals"), files.path("proposals"),
                           {.one_image = true, .stability = stability_});
  auto const number = number_of(files.id(), of_coco);
  if (!number) {
    demand(listed_.empty() && named_.empty(), path,
           "has no image '" + files.id() + "' in " +
               (listed_.empty() ? "the manifest.json beside it" : "its list of images"));
    throw io_error(path + ": knows images by number, and '" + files.id() +
                   "' is none; --proposals 'DIR/{id}.json' names a file for each");
  }
  auto const at = of_image_.find(*number);
  if (at == of_image_.end()) return {};
  for (auto const& p : at->second)
    if (!p.error.empty()) throw io_error(p.error);
  return at->second;
}

}  // namespace labelling
