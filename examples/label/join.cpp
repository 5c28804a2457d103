#include "join.hpp"

#include "folder_lock.hpp"
#include "image_set.hpp"
#include "record.hpp"
#include "settings.hpp"
#include "shard_run.hpp"
#include "summary.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace labelling {

namespace fs = std::filesystem;
using cambium::io_error;

namespace {

json parse_file(fs::path const& path)
{
  auto const content = cambium::read_file(path);
  try {
    return json::parse(content.begin(), content.end());
  } catch (json::exception const&) {
    throw io_error(path.string() + ": is no JSON");
  }
}

/// The lines of a file, one after another.
class json_lines {
 public:
  explicit json_lines(fs::path path) : path_(std::move(path)), file_(std::fopen(path_.c_str(), "rb"), &std::fclose)
  {
    if (!file_) throw io_error(path_.string() + ": " + std::strerror(errno));
  }
  ~json_lines() { std::free(line_); }
  json_lines(json_lines const&) = delete;
  json_lines& operator=(json_lines const&) = delete;

  /// @return false at the end
  bool next(json& to)
  {
    auto const length = ::getline(&line_, &room_, file_.get());
    if (length < 0) {
      if (std::ferror(file_.get()) != 0) throw io_error(path_.string() + ": " + std::strerror(errno));
      return false;
    }
    sum_.add(line_, static_cast<std::size_t>(length));
    try {
      to = json::parse(line_, line_ + length);
    } catch (json::exception const&) {
      throw io_error(path_.string() + ": has a line that is no JSON");
    }
    return true;
  }

  /// @pre next() was false
  void expects_hash(json const& expected)
  {
    if (json(sum_.text()) != expected)
      throw io_error(path_.string() + ": is not what its shard's record says; label it again");
  }

 private:
  fs::path path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  char* line_ = nullptr;
  std::size_t room_ = 0;
  hasher sum_;
};

struct finished_shard {
  std::string name;  ///< of its files, without ending
  std::size_t images = 0;
};

/// "1 image", "2 images".
std::string number_of(std::size_t count, char const* one, char const* many)
{
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

/// The entries that differ, with both values: "tags: none, not {id}.cls".
std::string differences(json const& these, json const& those)
{
  auto const value = [](json const& of, std::string const& key) {
    auto const found = of.find(key);
    return found == of.end() ? std::string("none") : found->template get<std::string>();
  };
  std::set<std::string> keys;
  for (auto const* const of : {&these, &those})
    for (auto const& entry : of->items()) keys.insert(entry.key());
  std::string out;
  for (auto const& key : keys)
    if (auto const a = value(these, key), b = value(those, key); a != b)
      out += (out.empty() ? "" : ", ") + key + ": " + a + ", not " + b;
  return out;
}

/// The ids of all images as far as they must be told apart.
class id_check {
 public:
  void add(std::string const& id)
  {
    hashes_.push_back(std::hash<std::string>{}(id));
    if (!numeric_) return;
    if (auto const number = number_in(id))
      numbers_.push_back(*number);
    else
      numeric_ = false;
  }

  /// Hashes that occur twice.
  std::vector<std::size_t> twins()
  {
    std::sort(hashes_.begin(), hashes_.end());
    std::vector<std::size_t> out;
    for (std::size_t i = 1; i < hashes_.size(); ++i)
      if (hashes_[i] == hashes_[i - 1] && (out.empty() || out.back() != hashes_[i])) out.push_back(hashes_[i]);
    std::vector<std::size_t>().swap(hashes_);
    return out;
  }

  /// Whether all ids are distinct numbers.
  bool numbered()
  {
    std::sort(numbers_.begin(), numbers_.end());
    numeric_ = numeric_ && std::adjacent_find(numbers_.begin(), numbers_.end()) == numbers_.end();
    std::vector<std::int64_t>().swap(numbers_);
    return numeric_;
  }

 private:
  std::vector<std::size_t> hashes_;
  std::vector<std::int64_t> numbers_;
  bool numeric_ = true;
};

class joiner {
 public:
  explicit joiner(std::string const& out) : out_(out)
  {
    fs::path const list = out_ / shard_list;
    std::error_code failure;
    if (!fs::exists(list, failure))
      throw usage_error("--join " + out + ": has no " + std::string(shard_list) +
                        "; is it the --out of a run on shards?");
    json const listed = parse_file(list);
    std::set<std::string> names;
    for (auto const& one : listed.at("shards")) {
      auto const name = one.at("labels").get<std::string>();
      names.insert(name);
      read_record_of(name);
    }
    for (auto const& file : fs::directory_iterator(out_)) {
      auto const name = file.path().stem().string();
      if (file.path().extension() == ".json" && name.rfind("labels-", 0) == 0 && !names.contains(name))
        unlisted_.push_back(name);
    }
    std::sort(unlisted_.begin(), unlisted_.end());
    if (shards_.empty()) throw usage_error("--join " + out + ": no shard is finished");
  }

  int run()
  {
    id_check ids;
    for_each_image([&](finished_shard const&, json const& image) { ids.add(image.at("name").get<std::string>()); });
    expects_distinct(ids.twins());
    bool const numbered = ids.numbered();

    summary_writer to(out_, words_);
    std::int64_t place = 0;
    for (auto const& shard : shards_) {
      json_lines images(out_ / files_of_shard(shard.name).images);
      json_lines detections(out_ / files_of_shard(shard.name).detections);
      json image, detection;
      while (images.next(image)) {
        auto const name = image.at("name").get<std::string>();
        ++place;
        to.add(numbered ? *number_in(name) : place, name, image);
        for (std::size_t i = image.at("detections").get<std::size_t>(); i > 0; --i) {
          if (!detections.next(detection) || detection.at("image") != name)
            throw io_error((out_ / files_of_shard(shard.name).detections).string() + ": lacks objects of '" + name +
                           "'");
          detection.erase("image");
          to.add_detection(detection);
        }
      }
      bool const more = detections.next(detection);
      if (more) throw io_error((out_ / files_of_shard(shard.name).detections).string() + ": has objects of no image");
      detections.expects_hash(records_outputs_.at(shard.name).at(files_of_shard(shard.name).detections));
    }
    auto const total = to.finish(listed_);
    std::printf("%zu of %zu images and %zu instances of %zu shards in %s\n", total.images, listed_, total.instances,
                shards_.size(), out_.c_str());
    print(total);
    for (auto const& note : total.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
    for (auto const& [ending, count] : ignored_)
      std::fprintf(stderr, "note: %zu members that end in '%s' were no input\n", count, ending.c_str());
    return complaints();
  }

 private:
  void read_record_of(std::string const& name)
  {
    std::error_code failure;
    fs::path const path = out_ / files_of_shard(name).record;
    if (!fs::exists(path, failure)) {
      missing_.push_back(name);
      return;
    }
    auto const record = parse_file(path);
    try {
      if (shards_.empty()) {
        fingerprint_ = record.at("fingerprint");
        members_ = record.at("members");
        words_ = {record.at("version"), record.at("parameters"), record.at("categories"), record.at("scored"),
                  record.at("instances_scored")};
      } else if (record.at("fingerprint") != fingerprint_) {
        throw usage_error(path.string() + ": was made with other parameters than " + shards_.front().name +
                          ".tar; label again with --resume");
      } else if (record.at("members") != members_) {
        throw usage_error(path.string() + ": was made of other inputs than " + shards_.front().name + ".tar (" +
                          differences(record.at("members"), members_) + "); label again with --resume");
      }
      for (auto const& [file, sum] : record.at("outputs").items())
        if (!fs::exists(out_ / file, failure)) throw io_error((out_ / file).string() + ": is missing");
      records_outputs_[name] = record.at("outputs");
      listed_ += record.at("samples").get<std::size_t>();
      failed_ += record.at("failed").size();
      if (!record.at("cut").get<std::string>().empty()) cut_.push_back(record.at("shard"));
      for (auto const& [ending, count] : record.at("ignored").items()) ignored_[ending] += count.get<std::size_t>();
      shards_.push_back({name, record.at("labelled")});
    } catch (json::exception const& e) {
      throw io_error(path.string() + ": " + e.what());
    }
  }

  template <class Each>
  void for_each_image(Each const& each)
  {
    for (auto const& shard : shards_) {
      auto const file = files_of_shard(shard.name).images;
      json_lines lines(out_ / file);
      json image;
      while (lines.next(image)) each(shard, image);
      lines.expects_hash(records_outputs_.at(shard.name).at(file));
    }
  }

  /// Of ids with equal hashes the names are compared.
  void expects_distinct(std::vector<std::size_t> const& twins)
  {
    if (twins.empty()) return;
    std::map<std::string, std::string> seen;
    for_each_image([&](finished_shard const& shard, json const& image) {
      auto const name = image.at("name").get<std::string>();
      if (!std::binary_search(twins.begin(), twins.end(), std::hash<std::string>{}(name))) return;
      auto const [found, fresh] = seen.emplace(name, shard.name);
      if (!fresh)
        throw usage_error("the image '" + name + "' is in " + found->second + ".tar and in " + shard.name +
                          ".tar; ids must differ");
    });
  }

  int complaints() const
  {
    if (failed_ > 0)
      std::fprintf(stderr, "%s failed; the records of their shards say why\n",
                   number_of(failed_, "image", "images").c_str());
    for (auto const& name : cut_) std::fprintf(stderr, "%s was cut off or damaged: images may be lost\n", name.c_str());
    if (!missing_.empty())
      std::fprintf(stderr, "%s not finished, the first is %s.tar; label again with --resume\n",
                   number_of(missing_.size(), "shard is", "shards are").c_str(), missing_.front().c_str());
    if (!unlisted_.empty())
      std::fprintf(
          stderr,
          "%s not in %s, so their images do not count: %s.tar; label with all shards in --images and --resume\n",
          number_of(unlisted_.size(), "shard is", "shards are").c_str(), shard_list, unlisted_.front().c_str());
    return failed_ > 0 || !cut_.empty() || !missing_.empty() || !unlisted_.empty() ? 1 : 0;
  }

  fs::path out_;
  json fingerprint_, members_;
  run_words words_;
  std::vector<finished_shard> shards_;
  std::map<std::string, json> records_outputs_;
  std::vector<std::string> missing_, cut_, unlisted_;
  std::map<std::string, std::size_t> ignored_;
  std::size_t listed_ = 0, failed_ = 0;
};

}  // namespace

int join(std::string const& out)
{
  std::error_code failure;
  if (!fs::is_directory(out, failure)) throw usage_error("--join " + out + ": is no folder");
  folder_lock const alone(out);
  try {
    return joiner(out).run();
  } catch (json::exception const& e) {
    throw io_error(out + ": " + e.what());
  }
}

}  // namespace labelling
