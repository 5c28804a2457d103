#include "record.hpp"

#include "truth.hpp"

#include <cambium/metric/confusion.hpp>

#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace labelling {

namespace fs = std::filesystem;

std::string hash(cambium::bytes const& content)
{
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (EVP_Digest(content.data(), content.size(), digest, &length, EVP_sha256(), nullptr) != 1)
    throw std::runtime_error("SHA-256 is not available");
  std::string text;
  for (unsigned i = 0; i < length; ++i) {
    text += "0123456789abcdef"[digest[i] >> 4];
    text += "0123456789abcdef"[digest[i] & 15];
  }
  return text;
}

json parameters(settings const& s)
{
  auto const& o = s.irnet;
  return {{"method", s.displacements.empty() ? "irnet walk, components" : "irnet walk, displacement"},
          {"radius", o.radius},
          {"beta", o.beta},
          {"exp_times", o.exp_times},
          {"tolerance", o.tolerance},
          {"boundary_scale", s.boundary_scale},
          {"sem_seg_bg_thres", o.sem_seg_bg_thres},
          {"ins_seg_bg_thres", o.ins_seg_bg_thres},
          {"iterations", o.iterations},
          {"thres", o.thres},
          {"max_fragment_size", o.max_fragment_size},
          {"component_thres", o.component_thres},
          {"fragments", fragment_words[static_cast<std::size_t>(o.small)]},
          {"scale", scale_words[static_cast<std::size_t>(o.scale)]},
          {"pieces", piece_words[static_cast<std::size_t>(o.parts)]},
          {"cam_eval_thres", s.cam_eval_thres},
          {"void_counts", s.void_counts},
          {"zero_based", s.zero_based},
          {"crf", s.crf},
          {"tile", s.tile},
          {"overlap", s.tile > 0 ? s.overlap : 0},
          {"keep_scores", s.keep_scores},
          {"overlay", s.overlay},
          {"scored", s.scored()}};
}

std::string fingerprint(settings const& s)
{
  std::string const text = std::string("cambium ") + CAMBIUM_VERSION + "\n" + parameters(s).dump();
  return hash({text.begin(), text.end()});
}

fs::path record_path(settings const& s, std::string const& id) { return fs::path(s.out) / "records" / (id + ".json"); }

namespace {

std::optional<json> read_record(settings const& s, std::string const& id)
{
  std::error_code failure;
  auto const path = record_path(s, id);
  if (!fs::exists(path, failure)) return std::nullopt;
  try {
    auto const content = cambium::read_file(path);
    auto record = json::parse(content.begin(), content.end());
    if (record.at("fingerprint") == fingerprint(s) && record.at("id") == id) return record;
  } catch (std::exception const&) {
    // a record that does not parse is as good as none: the image is labelled again
  }
  return std::nullopt;
}

bool unchanged(fs::path const& path, std::string const& expected)
{
  try {
    return hash(cambium::read_file(path)) == expected;
  } catch (cambium::io_error const&) {
    return false;
  }
}

json number(double v) { return std::isnan(v) ? json(nullptr) : json(v); }

/// One process at a time puts the summary together; the others wait.
class folder_lock {
 public:
  explicit folder_lock(fs::path const& path) : file_(::open(path.c_str(), O_RDONLY | O_DIRECTORY))
  {
    if (file_ >= 0) ::flock(file_, LOCK_EX);
  }
  ~folder_lock()
  {
    if (file_ >= 0) ::close(file_);
  }
  folder_lock(folder_lock const&) = delete;
  folder_lock& operator=(folder_lock const&) = delete;

 private:
  int file_;
};

}  // namespace

json tags_of(image_set const& set, std::string const& id)
{
  auto const found = set.tags.find(id);
  return found == set.tags.end() ? json(nullptr) : json(found->second);
}

bool still_holds(settings const& s, image_set const& set, std::string const& id)
{
  auto const record = read_record(s, id);
  if (!record) return false;
  try {
    if (record->at("tags") != tags_of(set, id)) return false;
    std::vector<std::pair<std::string, std::string>> const inputs{{"image", s.images},
                                                                  {"cam", s.cams},
                                                                  {"boundary", s.boundaries},
                                                                  {"displacement", s.displacements},
                                                                  {"truth_instances", s.truth_instances},
                                                                  {"truth_semantic", s.truth_semantic}};
    for (auto const& [name, path_template] : inputs) {
      if (path_template.empty() != !record->at("inputs").contains(name)) return false;
      if (!path_template.empty() && !unchanged(fill(path_template, id), record->at("inputs").at(name))) return false;
    }
    for (auto const& [name, expected] : record->at("outputs").items())
      if (!unchanged(fs::path(s.out) / name, expected)) return false;
    return true;
  } catch (nlohmann::json::exception const&) {
    return false;
  }
}

void forget(settings const& s, std::string const& id)
{
  std::error_code ignored;
  fs::path const out(s.out);
  fs::remove(record_path(s, id), ignored);
  fs::remove(out / "semantic" / (id + ".png"), ignored);
  fs::remove(out / "instances" / (id + ".png"), ignored);
  fs::remove(out / "overlay" / (id + ".jpg"), ignored);
  fs::remove(out / "scores" / (id + ".png"), ignored);
}

summary write_summary(settings const& s, image_set const& set)
{
  fs::path const out(s.out);
  folder_lock const alone(out);
  summary total;
  total.scored = s.scored();
  std::string detections = "[";
  std::int64_t next_id = 1;
  json images = json::array();
  cambium::confusion_matrix walk(256), cam(256);
  std::vector<cambium::image_result> results;

  for (std::size_t place = 0; place < set.ids.size(); ++place) {
    auto const record = read_record(s, set.ids[place]);
    if (!record) continue;
    ++total.images;
    for (json d : record->at("detections")) {
      json entry{{"id", next_id++}, {"image_id", set.number(place)}};
      entry.update(d);
      total.fragments += d.at("score") == 0;
      detections += (total.instances++ == 0 ? "\n" : ",\n") + entry.dump();
    }
    images.push_back({{"id", set.number(place)},
                      {"name", set.ids[place]},
                      {"height", record->at("height")},
                      {"width", record->at("width")},
                      {"inputs", record->at("inputs")},
                      {"outputs", record->at("outputs")}});
    if (!total.scored) continue;
    auto const& truth = record->at("truth");
    add_confusion(walk, truth.at("confusion"));
    add_confusion(cam, truth.at("cam_confusion"));
    if (!truth.contains("iou")) continue;
    results.push_back(image_result_from(truth));
  }
  cambium::replace_file(out / "detections.json", detections + (total.instances == 0 ? "]\n" : "\n]\n"));

  if (total.scored) {
    std::vector<double> const thresholds{0.25, 0.5, 0.7, 0.75};
    total.miou = cambium::mean_iou(walk);
    total.cam_miou = cambium::mean_iou(cam);
    json scores{{"images", total.images},
                {"miou", number(total.miou)},
                {"cam_miou", number(total.cam_miou)},
                {"iou", json::object()}};
    auto const iou = cambium::class_iou(walk);
    for (std::size_t c = 0; c < iou.size(); ++c)
      if (!std::isnan(iou[c])) scores["iou"][std::to_string(c)] = iou[c];
    if (!s.truth_instances.empty()) {
      total.ap = cambium::instance_ap(results, thresholds);
      auto const abo = cambium::average_best_overlap(results);
      total.best_overlap = abo.mean;
      char const* const names[] = {"25", "50", "70", "75"};
      for (std::size_t i = 0; i < thresholds.size(); ++i) {
        scores[std::string("ap") + names[i]] = number(total.ap[i].mean);
        scores[std::string("ap") + names[i] + "_voc07"] =
            number(cambium::instance_ap(results, thresholds[i], cambium::ap_form::voc07).mean);
      }
      scores["average_best_overlap"] = number(abo.mean);
      scores["ap50_of_class"] = json::object();
      for (std::size_t c = 0; c < total.ap[1].of_class.size(); ++c)
        if (!std::isnan(total.ap[1].of_class[c])) scores["ap50_of_class"][std::to_string(c)] = total.ap[1].of_class[c];
    }
    cambium::replace_file(out / "scores.json", scores.dump(1) + "\n");
  }

  std::error_code ignored;
  if (!total.scored) fs::remove(out / "scores.json", ignored);  // of other labels

  json const manifest{{"program", "cambium label"},
                      {"version", CAMBIUM_VERSION},
                      {"parameters", parameters(s)},
                      {"images_listed", set.ids.size()},
                      {"images_labelled", total.images},
                      {"instances", total.instances},
                      {"images", images}};
  cambium::replace_file(out / "manifest.json", manifest.dump(1) + "\n");
  return total;
}

}  // namespace labelling
