#include "summary.hpp"

#include "folder_lock.hpp"
#include "image_files.hpp"
#include "method.hpp"
#include "record.hpp"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace labelling {

namespace fs = std::filesystem;

namespace {

json number(double v) { return std::isnan(v) ? json(nullptr) : json(v); }

/// Where entries of the manifest wait until all are counted.
std::FILE* nameless_file(fs::path const& folder)
{
  fs::path const path = name_of_this_process(folder / "manifest.json.entries");
  std::FILE* const file = std::fopen(path.c_str(), "w+b");
  if (file == nullptr) throw cambium::io_error(path.string() + ": " + std::strerror(errno));
  std::error_code ignored;
  fs::remove(path, ignored);
  return file;
}

/// Whether a file is scores.json of an earlier run, and not someone's file of that name.
bool holds_scores(fs::path const& path)
{
  try {
    auto const content = cambium::read_file(path);
    auto const scores = json::parse(content.begin(), content.end());
    return scores.is_object() && scores.contains("images") && scores.contains("miou") && scores.contains("iou");
  } catch (std::exception const&) {
    return false;
  }
}

/// Ends a file that was written under the name of this process, and gives it its own name.
/// @throws io_error
void finish_as(fs::path const& path, cambium::file_replacement& file)
{
  file.finish();
  std::error_code failure, ignored;
  fs::rename(file.path(), path, failure);
  if (!failure) return;
  fs::remove(file.path(), ignored);
  throw cambium::io_error(path.string() + ": " + failure.message());
}

}  // namespace

std::vector<std::string> summary_files() { return {"detections.json", "manifest.json", "scores.json"}; }

void print(summary const& total)
{
  if (!total.scored) return;
  if (total.cam_miou)
    std::printf("\nmIoU              CAM alone %s    after the walk %s\n", percent(*total.cam_miou).c_str(),
                percent(total.miou).c_str());
  else
    std::printf("\nmIoU              %s\n", percent(total.miou).c_str());
  if (total.ap.empty()) return;
  std::printf("AP^r              @0.25 %s  @0.5 %s  @0.7 %s  @0.75 %s\n", percent(total.ap[0].mean).c_str(),
              percent(total.ap[1].mean).c_str(), percent(total.ap[2].mean).c_str(), percent(total.ap[3].mean).c_str());
  std::printf("best overlap      %s\n", percent(total.best_overlap).c_str());
}

run_words words_of(settings const& s)
{
  run_words out{CAMBIUM_VERSION, s.how->parameters(), nullptr, s.scored(), !s.truth_instances.empty()};
  auto const categories = s.how->categories();
  for (std::size_t c = 0; c < categories.size(); ++c)  // what the numbers in semantic/ are called in detections.json
    out.categories.push_back({{"label", c + 1}, {"category_id", categories[c].id}, {"name", categories[c].name}});
  return out;
}

summary_writer::summary_writer(fs::path out, run_words about)
    : out_(std::move(out)),
      about_(std::move(about)),
      detections_(name_of_this_process(out_ / "detections.json")),
      entries_(nameless_file(out_), &std::fclose)
{
  total_.scored = about_.scored;
  detections_.write("[");
}

void summary_writer::add(std::int64_t image, std::string const& name, json const& record)
{
  number_ = image;
  json const entry{{"id", image},
                   {"name", name},
                   {"height", record.at("height")},
                   {"width", record.at("width")},
                   {"inputs", record.at("inputs")},
                   {"outputs", record.at("outputs")}};
  std::string text = (total_.images++ == 0 ? "\n" : ",\n") + entry.dump(1);
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 3) text.insert(at + 1, "  ");
  if (std::fwrite(text.data(), 1, text.size(), entries_.get()) != text.size())
    throw cambium::io_error((out_ / "manifest.json").string() + ": " + std::strerror(errno));
  notes_.add(name, record);
  without_tag_.add(name, record.value(points_without_tag, false) ? 1 : 0);
  if (!total_.scored) return;
  auto const& truth = record.at("truth");
  add_confusion(labels_, truth.at("confusion"));
  odd_.void_only.add(name, truth.value("void_only", false) ? 1 : 0);
  odd_.void_only_instances.add(name, truth.value("void_only_instances", false) ? 1 : 0);
  odd_.without_class.add(name, truth.value("instances_without_class", std::size_t{0}));
  for (int const c : record.at("classes")) odd_.looked_for.insert(c);
  if (truth.contains("cam_confusion")) {
    add_confusion(cam_, truth.at("cam_confusion"));
    compared_ = true;
  }
  if (truth.contains("iou")) results_.push_back(image_result_from(truth));
}

void summary_writer::add_detection(json const& detection)
{
  json entry{{"id", ++total_.instances}, {"image_id", number_}};
  entry.update(detection);
  total_.fragments += detection.at("score") == 0;
  detections_.write((total_.instances == 1 ? "\n" : ",\n") + entry.dump());
}

void summary_writer::write_scores()
{
  std::vector<double> const thresholds{0.25, 0.5, 0.7, 0.75};
  double const none = std::numeric_limits<double>::quiet_NaN();
  bool const anything = has_class(labels_);
  total_.notes = odd_.notes(labels_, total_.images);
  total_.miou = anything ? cambium::mean_iou(labels_) : none;
  json scores{{"images", total_.images}, {"miou", number(total_.miou)}};
  if (compared_) {
    total_.cam_miou = anything ? cambium::mean_iou(cam_) : none;
    scores["cam_miou"] = number(*total_.cam_miou);
  }
  if (odd_.void_only.images > 0) scores["images_of_void_only"] = odd_.void_only.images;
  scores["iou"] = json::object();
  auto const iou = cambium::class_iou(labels_);
  for (std::size_t c = 0; c < iou.size(); ++c)
    if (anything && !std::isnan(iou[c])) scores["iou"][std::to_string(c)] = iou[c];
  if (about_.instances_scored) {
    total_.ap = cambium::instance_ap(results_, thresholds);
    auto const abo = cambium::average_best_overlap(results_);
    total_.best_overlap = abo.mean;
    char const* const names[] = {"25", "50", "70", "75"};
    for (std::size_t i = 0; i < thresholds.size(); ++i) {
      scores[std::string("ap") + names[i]] = number(total_.ap[i].mean);
      scores[std::string("ap") + names[i] + "_voc07"] =
          number(cambium::instance_ap(results_, thresholds[i], cambium::ap_form::voc07).mean);
    }
    scores["average_best_overlap"] = number(abo.mean);
    scores["ap50_of_class"] = json::object();
    for (std::size_t c = 0; c < total_.ap[1].of_class.size(); ++c)
      if (!std::isnan(total_.ap[1].of_class[c])) scores["ap50_of_class"][std::to_string(c)] = total_.ap[1].of_class[c];
  }
  cambium::file_replacement file(name_of_this_process(out_ / "scores.json"));
  file.write(scores.dump(1) + "\n");
  finish_as(out_ / "scores.json", file);
}

summary summary_writer::finish(std::size_t listed)
{
  detections_.write(total_.instances == 0 ? "]\n" : "\n]\n");
  finish_as(out_ / "detections.json", detections_);
  std::error_code ignored;
  if (total_.scored)
    write_scores();
  else if (holds_scores(out_ / "scores.json"))
    fs::remove(out_ / "scores.json", ignored);  // of other labels
  for (auto& sentence : notes_.sentences()) total_.notes.push_back(std::move(sentence));

  if (without_tag_.images > 0)
    total_.notes.push_back("every point of " + std::to_string(without_tag_.images) + " of " +
                           std::to_string(total_.images) + " images is of a class that the tags do not name (" +
                           without_tag_.first +
                           "): these images have no object of a point. Classes of points count from 0, those of tags "
                           "from 1, or with --zero-based from 0");

  json manifest{{"program", "cambium label"}, {"version", about_.version},        {"parameters", about_.parameters},
                {"images_listed", listed},    {"images_labelled", total_.images}, {"instances", total_.instances},
                {"images", json::array()}};
  if (!about_.categories.is_null()) manifest["categories"] = about_.categories;
  std::string const text = manifest.dump(1) + "\n";
  std::size_t const entries = text.rfind("\"images\": []") + 11;  // no name or parameter holds this text unescaped
  cambium::file_replacement file(name_of_this_process(out_ / "manifest.json"));
  file.write(std::string_view(text).substr(0, entries));
  std::rewind(entries_.get());
  char part[65536];
  for (std::size_t n; (n = std::fread(part, 1, sizeof part, entries_.get())) > 0;) file.write(part, n);
  if (std::ferror(entries_.get()) != 0) throw cambium::io_error(file.path().string() + ": " + std::strerror(errno));
  if (total_.images > 0) file.write("\n ");
  file.write(std::string_view(text).substr(entries));
  finish_as(out_ / "manifest.json", file);
  return total_;
}

summary write_summary(settings const& s, image_set const& set)
{
  folder_lock const alone(s.out);
  summary_writer writer(s.out, words_of(s));
  std::vector<std::size_t> absent;
  auto optional = inputs_of(s);
  std::erase_if(optional, [](input_file const& input) { return !input.optional; });
  std::vector<std::size_t> have(optional.size(), 0);  // images with this input
  for (std::size_t place = 0; place < set.ids.size(); ++place) {
    auto const record = read_record(s, set.ids[place]);
    if (!record) {
      absent.push_back(place);
      continue;
    }
    writer.add(set.number(place), set.ids[place], *record);
    for (auto const& d : record->at("detections")) writer.add_detection(d);
    for (std::size_t i = 0; i < optional.size(); ++i) have[i] += record->at("inputs").contains(optional[i].name);
  }
  auto total = writer.finish(set.ids.size());
  for (std::size_t i = 0; i < optional.size(); ++i)
    if (have[i] < total.images)
      total.notes.push_back(optional[i].path_template + ": " + std::to_string(have[i]) + " of " +
                            std::to_string(total.images) + " images have this file");
  total.absent = std::move(absent);
  return total;
}

}  // namespace labelling
