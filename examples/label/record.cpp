#include "record.hpp"

#include "image_files.hpp"
#include "truth.hpp"

#include <cambium/metric/confusion.hpp>

// These functions need 20 kB of a static libcrypto, EVP_Digest all of its 4 MB.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace labelling {

namespace fs = std::filesystem;

std::string hash(cambium::bytes const& content)
{
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256_CTX state;
  SHA256_Init(&state);
  SHA256_Update(&state, content.data(), content.size());
  SHA256_Final(digest, &state);
  std::string text;
  for (unsigned char const byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string fingerprint(settings const& s)
{
  std::string const text = std::string("cambium ") + CAMBIUM_VERSION + "\n" + s.how->parameters().dump();
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
    bool const ours = record.at("fingerprint") == fingerprint(s) && record.at("id") == id;
    if (ours) return std::make_optional(std::move(record));
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

/// One process at a time puts the summary together; the others wait. The lock is a file that is open for writing: network
/// file systems lock no folders. It goes away with its holder.
class folder_lock {
 public:
  explicit folder_lock(fs::path const& folder) : path_(folder / ".summary.lock")
  {
    while ((file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) >= 0) {
      int locked = 0;
      while ((locked = ::flock(file_, LOCK_EX)) != 0 && errno == EINTR) {
      }
      struct stat mine = {}, there = {};
      bool const same = ::fstat(file_, &mine) == 0 && ::stat(path_.c_str(), &there) == 0 && mine.st_ino == there.st_ino;
      if (same || locked != 0) break;  // without locks of files the last one to write is right
      ::close(file_);                  // its holder removed it meanwhile
    }
  }
  ~folder_lock()
  {
    if (file_ < 0) return;
    ::unlink(path_.c_str());
    ::close(file_);
  }
  folder_lock(folder_lock const&) = delete;
  folder_lock& operator=(folder_lock const&) = delete;

 private:
  fs::path path_;
  int file_ = -1;
};

}  // namespace

json tags_of(image_set const& set, std::string const& id)
{
  auto const found = set.tags.find(id);
  return found == set.tags.end() ? json(nullptr) : json(found->second);
}

bool still_holds(settings const& s, image_set const& set, std::string const& id, image_source const& from)
{
  auto const record = read_record(s, id);
  if (!record) return false;
  try {
    if (record->at("tags") != tags_of(set, id)) return false;
    auto const& recorded = record->at("inputs");
    std::size_t read = 0;
    for (auto const& input : inputs_of(s)) {
      if (input.optional && !from.has(input)) continue;
      ++read;
      if (!recorded.contains(input.name) || json(hash(from.read(input))) != recorded.at(input.name)) return false;
    }
    if (read != recorded.size()) return false;
    for (auto const& [name, expected] : record->at("outputs").items())
      if (!unchanged(fs::path(s.out) / name, expected)) return false;
    return true;
  } catch (nlohmann::json::exception const&) {
    return false;
  } catch (cambium::io_error const&) {
    return false;  // an input cannot be read: its image will say so
  }
}

std::vector<std::string> possible_outputs(std::string const& id)
{
  std::vector<std::string> out{"semantic/" + id + ".png", "instances/" + id + ".png", "overlay/" + id + ".jpg",
                               "scores/" + id + ".png", "trust/" + id + ".png"};
  for (char const* const kind : {"centre", "offset", "weight", "target", "trusted"})
    out.push_back("targets/" + id + "." + kind + ".npy");
  return out;
}

std::vector<std::string> summary_files() { return {"detections.json", "manifest.json", "scores.json"}; }

void forget(settings const& s, std::string const& id)
{
  std::error_code ignored;
  fs::remove(record_path(s, id), ignored);
  for (auto const& name : possible_outputs(id)) fs::remove(fs::path(s.out) / name, ignored);
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
  bool compared = false;  // with what the method started from
  std::vector<cambium::image_result> results;
  odd_truth odd;

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
    if (truth.value("void_only", false)) odd.add_void_only(set.ids[place]);
    for (int const c : record->at("classes")) odd.looked_for.insert(c);
    if (truth.contains("cam_confusion")) {
      add_confusion(cam, truth.at("cam_confusion"));
      compared = true;
    }
    if (!truth.contains("iou")) continue;
    results.push_back(image_result_from(truth));
  }
  cambium::replace_file(out / "detections.json", detections + (total.instances == 0 ? "]\n" : "\n]\n"));

  if (total.scored) {
    std::vector<double> const thresholds{0.25, 0.5, 0.7, 0.75};
    double const none = std::numeric_limits<double>::quiet_NaN();
    bool const anything = has_class(walk);
    total.notes = odd.notes(walk, total.images);
    total.miou = anything ? cambium::mean_iou(walk) : none;
    json scores{{"images", total.images}, {"miou", number(total.miou)}};
    if (compared) {
      total.cam_miou = anything ? cambium::mean_iou(cam) : none;
      scores["cam_miou"] = number(*total.cam_miou);
    }
    if (odd.void_only > 0) scores["images_of_void_only"] = odd.void_only;
    scores["iou"] = json::object();
    auto const iou = cambium::class_iou(walk);
    for (std::size_t c = 0; c < iou.size(); ++c)
      if (anything && !std::isnan(iou[c])) scores["iou"][std::to_string(c)] = iou[c];
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

  json manifest{{"program", "cambium label"},
                {"version", CAMBIUM_VERSION},
                {"parameters", s.how->parameters()},
                {"images_listed", set.ids.size()},
                {"images_labelled", total.images},
                {"instances", total.instances},
                {"images", images}};
  auto const categories = s.how->categories();
  for (std::size_t c = 0; c < categories.size(); ++c)  // what the numbers in semantic/ are called in detections.json
    manifest["categories"].push_back(
        {{"label", c + 1}, {"category_id", categories[c].id}, {"name", categories[c].name}});
  cambium::replace_file(out / "manifest.json", manifest.dump(1) + "\n");
  return total;
}

}  // namespace labelling
