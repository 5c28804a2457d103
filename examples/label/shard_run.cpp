#include "shard_run.hpp"

#include "folder_lock.hpp"
#include "image_files.hpp"
#include "one_image.hpp"
#include "progress.hpp"
#include "record.hpp"
#include "run.hpp"
#include "shards.hpp"
#include "summary.hpp"

#include <cambium/exec/parallel.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

namespace labelling {

using namespace cambium;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t most_told = 1000;  // failures that the end repeats

/// The outputs of a shard's images, in their order.
class shard_writer {
 public:
  shard_writer(settings const& s, std::string const& name)
      : out_(s.out),
        files_(name),
        tar_((out_ / files_.tar).string()),
        images_(out_ / files_.images),
        detections_(out_ / files_.detections)
  {
  }

  void add(labelled_image const& image)
  {
    for (auto const& [name, content] : image.files)
      tar_.add(name_in_shard(image.id, name), content.data(), content.size());
    std::string const record = image.record.dump() + "\n";
    tar_.add(image.id + ".json", record.data(), record.size());
    auto const& found = image.record.at("detections");
    for (auto const& d : found) {
      json line{{"image", image.id}};
      line.update(d);
      write(detections_, detection_sum_, line.dump() + "\n");
      fragments_ += d.at("score") == 0;
    }
    instances_ += found.size();
    json line{{"name", image.id}, {"detections", found.size()}};
    for (char const* const key :
         {"height", "width", "inputs", "outputs", "classes", "notes", "truth", points_without_tag})
      if (image.record.contains(key)) line[key] = image.record.at(key);
    write(images_, image_sum_, line.dump() + "\n");
    ++labelled_;
  }

  /// Everything, or nothing. @param about  entries of the record
  void finish(json const& about)
  {
    json record = about;
    record["labelled"] = labelled_;
    record["instances"] = instances_;
    record["fragments"] = fragments_;
    record["outputs"] = {
        {files_.tar, tar_.close()}, {files_.images, image_sum_.text()}, {files_.detections, detection_sum_.text()}};
    std::error_code ignored;
    fs::remove(out_ / files_.record, ignored);  // of other labels: from here on the shard is unfinished
    tar_.finish();
    images_.finish();
    detections_.finish();
    replace_file(out_ / files_.record, record.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
  }

 private:
  static void write(file_replacement& file, hasher& sum, std::string const& text)
  {
    file.write(text);
    sum.add(text.data(), text.size());
  }

  fs::path out_;
  files_of_shard files_;
  tar_writer tar_;
  file_replacement images_, detections_;
  hasher image_sum_, detection_sum_;
  std::size_t labelled_ = 0, instances_ = 0, fragments_ = 0;
};

std::string hash_of_file(fs::path const& path)
{
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) return {};
  hasher sum;
  std::vector<unsigned char> part(1 << 16);
  for (std::size_t n; (n = std::fread(part.data(), 1, part.size(), file.get())) > 0;) sum.add(part.data(), n);
  return std::ferror(file.get()) != 0 ? "" : sum.text();
}

/// Whether an earlier run finished the shard: same parameters, same shard, same members read of it, nothing failed,
/// outputs unchanged.
/// @return how many images it labelled
std::optional<std::size_t> still_holds(settings const& s, std::string const& name, shard_index const& index)
{
  files_of_shard const files(name);
  std::error_code failure;
  if (!fs::exists(fs::path(s.out) / files.record, failure)) return std::nullopt;
  try {
    auto const content = read_file(fs::path(s.out) / files.record);
    auto const record = json::parse(content.begin(), content.end());
    if (record.at("fingerprint") != fingerprint(s) || record.at("input") != index.hash) return std::nullopt;
    if (record.at("members") != members_read(s)) return std::nullopt;
    if (!index.cut.empty() || !record.at("failed").empty() || record.at("samples") != index.samples.size())
      return std::nullopt;
    for (auto const& [file, sum] : record.at("outputs").items())
      if (json(hash_of_file(fs::path(s.out) / file)) != sum) return std::nullopt;
    return record.at("labelled").get<std::size_t>();
  } catch (std::exception const&) {
    return std::nullopt;  // a record that does not parse is as good as none
  }
}

/// The shard is unfinished, as far as --resume and --join see; its labels stay.
void doubt_shard(settings const& s, std::string const& name)
{
  fs::path const path = fs::path(s.out) / files_of_shard(name).record;
  std::error_code ignored;
  try {
    auto const content = read_file(path);
    if (json::parse(content.begin(), content.end()).at("program") == "cambium label") fs::remove(path, ignored);
  } catch (std::exception const&) {
    // there is none, or it is no record
  }
}

/// An image that failed keeps a place in the order.
struct made_image {
  std::optional<labelled_image> image;
  std::string id, reason;
};

/// Puts what several threads make into the order of the shard. Those that are far ahead wait for the slowest.
class in_order {
 public:
  in_order(sample_reader& from, std::size_t ahead, std::function<void(made_image&)> commit)
      : from_(from), ahead_(ahead), commit_(std::move(commit))
  {
  }

  /// The next sample and its place; null at the end, or after a failure.
  std::pair<std::unique_ptr<shard_sample>, std::size_t> next()
  {
    std::unique_lock lock(guard_);
    moved_.wait(lock, [&] { return failure_ || taken_ < done_ + ahead_; });
    if (failure_) return {nullptr, 0};
    try {
      auto sample = from_.next();
      return {std::move(sample), taken_++};
    } catch (...) {
      fail(std::current_exception());
      return {nullptr, 0};
    }
  }

  void put(std::size_t place, made_image made)
  {
    std::lock_guard const lock(guard_);
    waiting_.emplace(place, std::move(made));
    for (auto first = waiting_.begin(); first != waiting_.end() && first->first == done_; first = waiting_.begin()) {
      if (!failure_) try {
          commit_(first->second);
        } catch (...) {
          fail(std::current_exception());
        }
      waiting_.erase(first);
      ++done_;
    }
    moved_.notify_all();
  }

  void rethrow() const
  {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void fail(std::exception_ptr why)
  {
    failure_ = std::move(why);
    moved_.notify_all();
  }

  sample_reader& from_;
  std::size_t ahead_;
  std::function<void(made_image&)> commit_;
  std::mutex guard_;
  std::condition_variable moved_;
  std::map<std::size_t, made_image> waiting_;
  std::size_t taken_ = 0, done_ = 0;
  std::exception_ptr failure_;
};

/// A reason with the names of shard and image.
std::string named(std::string const& path, std::string const& id, std::string const& reason)
{
  return reason.rfind(path, 0) == 0 ? reason : path + ": " + id + ": " + reason;
}

made_image label_sample(settings const& s, shard_sample const& sample, cpu const& where)
{
  made_image out;
  out.id = sample.id();
  try {
    if (!sample.reason.empty()) throw io_error(sample.reason);
    auto const set = sample.set(s);
    out.image = label_image(s, set, out.id, sample, where);
  } catch (std::exception const& e) {
    out.reason = e.what();
  }
  return out;
}

/// Labels the samples of a shard into folders.
void label_into_folders(settings const& s, std::size_t place, shard_index const& index, cpu const& where,
                        report const& tell)
{
  sample_reader from(s, s.shard_files[place], index);
  std::mutex guard;
  for_each_item(where, static_cast<index_t>(index.samples.size()), [&](cpu const& here, index_t) {
    auto const sample = [&] {
      std::lock_guard const lock(guard);
      return from.next();
    }();
    bool made = false;
    try {
      if (!sample->reason.empty()) throw io_error(sample->reason);
      auto const set = sample->set(s);
      if (s.resume && still_holds(s, set, sample->id(), *sample)) {
        tell({outcome::kind::kept, place});
        return;
      }
      auto const image = label_image(s, set, sample->id(), *sample, here);
      made = true;
      write_image(s, image);
      tell({outcome::kind::labelled, place});
    } catch (std::exception const& e) {
      if (!made && why_no_id(sample->id()).empty()) forget(s, sample->id());
      tell({outcome::kind::failed, place, named(s.shard_files[place], sample->id(), e.what())});
    }
  });
}

/// Labels the samples of a shard into a shard.
void label_into_shard(settings const& s, std::size_t place, shard_index const& index, cpu const& where,
                      report const& tell)
{
  auto const& path = s.shard_files[place];
  auto const& name = s.shard_outputs[place];
  if (s.resume)
    if (auto const kept = still_holds(s, name, index)) {
      for (std::size_t i = 0; i < *kept; ++i) tell({outcome::kind::kept, place});
      return;
    }
  shard_writer to(s, name);
  json failures = json::array();
  sample_reader from(s, path, index);
  in_order order(from, 4 * static_cast<std::size_t>(thread_count(where)), [&](made_image& one) {
    if (one.image) {
      to.add(*one.image);
      tell({outcome::kind::labelled, place});
    } else {
      failures.push_back({{"id", one.id}, {"reason", one.reason}});
      tell({outcome::kind::failed, place, named(path, one.id, one.reason)});
    }
  });
  for_each_item(where, static_cast<index_t>(index.samples.size()), [&](cpu const& here, index_t) {
    auto const [sample, at] = order.next();
    if (sample) order.put(at, label_sample(s, *sample, here));
  });
  order.rethrow();
  auto const words = words_of(s);
  to.finish({{"program", "cambium label"},
             {"version", words.version},
             {"fingerprint", fingerprint(s)},
             {"shard", fs::path(path).filename().string()},
             {"input", index.hash},
             {"members", members_read(s)},
             {"parameters", words.parameters},
             {"categories", words.categories},
             {"scored", words.scored},
             {"instances_scored", words.instances_scored},
             {"samples", index.samples.size()},
             {"cut", index.cut},
             {"ignored", index.ignored},
             {"failed", failures}});
}

/// Labels one shard. What fails is an outcome of its own; the place is the shard's.
void label_shard(settings const& s, std::size_t place, cpu const& where, report const& tell)
{
  bool const as_files = s.shard_outputs.empty();
  auto const& path = s.shard_files[place];
  shard_index index;
  try {
    index = index_shard(s, path);
  } catch (content_error const& e) {
    if (!as_files) doubt_shard(s, s.shard_outputs[place]);
    tell({outcome::kind::failed, place, e.what()});
    return;
  } catch (std::exception const& e) {  // the disk is at fault: it may be better the next time
    tell({outcome::kind::failed, place, e.what()});
    return;
  }
  if (!index.cut.empty())
    tell({outcome::kind::failed, place, path + ": " + index.cut + ": there may have been more images"});
  try {
    (as_files ? label_into_folders : label_into_shard)(s, place, index, where, tell);
  } catch (std::exception const& e) {  // the disk is at fault: what lies there is no worse than before
    tell({outcome::kind::failed, place, e.what()});
  }
}

/// The ids of all shards, for outputs in folders.
/// @throws usage_error: two images have one id
image_set set_of_shards(settings const& s)
{
  image_set set;
  std::map<std::string, std::size_t> seen;
  for (std::size_t i = 0; i < s.shard_files.size(); ++i) {
    try {
      for (auto const& sample : index_shard(s, s.shard_files[i]).samples) {
        auto const [found, fresh] = seen.emplace(sample.id, i);
        if (!fresh)
          throw usage_error("the image '" + sample.id + "' is in " + s.shard_files[found->second] + " and in " +
                            s.shard_files[i] + "; ids must differ");
        if (why_no_id(sample.id).empty()) set.ids.push_back(sample.id);
      }
    } catch (io_error const&) {
      // the shard will say so
    }
  }
  set.numbers_ = numbers_of(set.ids);
  if (auto numbers = s.how->image_numbers(set.ids)) set.numbers_ = std::move(*numbers);
  s.how->look_at(set.ids);
  return set;
}

/// No finished shard of an earlier run in the same folder is left out: --join would not see its labels.
/// @param path  of the list of the earlier run
void expects_all_listed(settings const& s, fs::path const& path, json const& list)
{
  json earlier;
  try {
    auto const content = read_file(path);
    earlier = json::parse(content.begin(), content.end());
    auto const& now = list.at("shards");
    for (auto const& one : earlier.at("shards")) {
      std::error_code failure;
      auto const name = one.at("labels").get<std::string>();
      if (std::find(now.begin(), now.end(), one) == now.end() &&
          fs::exists(fs::path(s.out) / files_of_shard(name).record, failure))
        throw usage_error("--out " + s.out + ": holds " + name + ".tar, the labels of " +
                          one.at("shard").get<std::string>() +
                          ", which --images does not name; name all shards of the folder, or write into another one");
    }
  } catch (json::exception const&) {
    // a list that cannot be read is as good as none
  }
}

void write_list(settings const& s)
{
  json list{{"shards", json::array()}};
  for (std::size_t i = 0; i < s.shard_files.size(); ++i)
    list["shards"].push_back(
        {{"shard", fs::path(s.shard_files[i]).filename().string()}, {"labels", s.shard_outputs[i]}});
  std::string const text = list.dump(1) + "\n";
  folder_lock const alone(s.out);
  fs::path const path = fs::path(s.out) / shard_list;
  std::error_code failure;
  if (fs::exists(path, failure)) {
    auto const content = read_file(path);
    if (std::equal(content.begin(), content.end(), text.begin(), text.end())) return;
    expects_all_listed(s, path, list);
  }
  replace_file(path, text);
}

void expects_shards_kept(settings const& s, image_set const& set)
{
  labelling::expects_inputs_kept(s.shard_files, s.out, [&] {
    std::vector<std::string> names = summary_files();
    names.emplace_back(shard_list);
    for (auto const& name : s.shard_outputs)
      for (auto& file : files_of_shard(name).all()) names.push_back(std::move(file));
    for (auto const& id : set.ids) {
      names.push_back("records/" + id + ".json");
      for (auto& name : possible_outputs(id)) names.push_back(std::move(name));
    }
    return names;
  });
}

/// Counts samples, and labels one in memory.
int rehearse_shards(settings const& s, std::vector<std::size_t> const& mine)
{
  std::size_t images = 0, odd = 0;
  std::map<std::string, std::size_t> ignored;
  auto const say = [&](std::string const& text) {
    if (++odd <= 10) std::fprintf(stderr, "%s\n", text.c_str());
  };
  double each = 0;
  for (std::size_t const place : mine) {
    auto const& path = s.shard_files[place];
    try {
      auto const index = index_shard(s, path);
      images += index.samples.size();
      for (auto const& [ending, count] : index.ignored) ignored[ending] += count;
      if (!index.cut.empty()) say(path + ": " + index.cut);
      for (auto const& sample : index.samples)
        if (!sample.reason.empty()) say(path + ": " + sample.id + ": " + sample.reason);
      if (each == 0 && !index.samples.empty()) {
        sample_reader from(s, path, index);
        auto const sample = from.next();
        auto const start = std::chrono::steady_clock::now();
        auto const one = label_sample(s, *sample, cpu{.threads = 1});
        each = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        if (!one.image) say(one.reason);
      }
    } catch (std::exception const& e) {
      say(e.what());
    }
  }
  std::printf("%zu shards listed, %zu in this run with %zu images, %zu faults\n", s.shard_files.size(), mine.size(),
              images, odd);
  int const cores = thread_count(cpu{.threads = s.threads});
  std::printf("about %s: the first image took %.0f ms on one of %d cores\n",
              duration(each * static_cast<double>(images) / cores).c_str(), 1000 * each, cores);
  for (auto const& [ending, count] : ignored)
    std::fprintf(stderr, "note: %zu members that end in '%s' are no input here\n", count, ending.c_str());
  std::puts("nothing was written (--dry-run)");
  return odd > 0 ? 1 : 0;
}

}  // namespace

std::string name_in_shard(std::string const& id, std::string const& name)
{
  auto const slash = name.find('/');
  return id + "." + name.substr(0, slash) + name.substr(slash + 1 + id.size());
}

int run_shards(settings const& s, crew& workers)
{
  bool const as_files = s.shard_outputs.empty();
  image_set set;
  try {
    workers.expects_ready(complaint_of([&] {
      if (as_files)
        set = set_of_shards(s);
      else if (s.how->image_numbers({}))
        throw usage_error("one COCO file for all images numbers them; --files writes labels for it into folders");
      expects_shards_kept(s, set);
      if (!s.dry_run) {
        prepare(s.out, as_files);
        if (!as_files) write_list(s);
      }
    }));
    if (as_files && !s.dry_run && workers.processes() > 1) expects_one_folder(s, workers);
  } catch (std::exception const& e) {
    if (workers.leads()) std::fprintf(stderr, "label: %s\n", e.what());
    return 2;
  }
  auto const mine = s.places(s.shard_files.size());
  if (s.dry_run) return workers.leads() ? rehearse_shards(s, mine) : 0;

  auto const start = std::chrono::steady_clock::now();
  progress_bar bar(mine.size(), "shards");
  std::size_t labelled = 0, kept = 0, failed = 0;
  std::set<std::size_t> begun;
  std::vector<std::pair<std::size_t, std::string>> failures;
  workers.hand_out(
      cpu{.threads = s.threads}, mine.size(),
      [&](cpu const& where, std::size_t item, report const& tell) { label_shard(s, mine[item], where, tell); },
      [&](outcome one) {
        labelled += one.what == outcome::kind::labelled;
        kept += one.what == outcome::kind::kept;
        if (one.what == outcome::kind::failed) {
          ++failed;
          bar.say("failed: " + one.reason);
          if (failures.size() < most_told) failures.emplace_back(one.place, std::move(one.reason));
        }
        begun.insert(one.place);
        bar.reach(begun.size() - 1, labelled + kept + failed);
      });
  if (!workers.leads()) return 0;
  bar.reach(mine.size(), labelled + kept + failed);

  std::string const all = std::to_string(labelled) + " labelled, " + std::to_string(kept) + " kept from before, " +
                          std::to_string(failed) + " failed in " +
                          duration(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  if (as_files) {
    summary total;
    try {
      total = write_summary(s, set);
    } catch (std::exception const& e) {
      std::fprintf(stderr, "label: the summary could not be written: %s\n", e.what());
      return 1;
    }
    std::printf("%s; %zu of %zu images and %zu instances in %s\n", all.c_str(), total.images, set.ids.size(),
                total.instances, s.out.c_str());
    print(total);
    for (auto const& note : total.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
    if (total.images < labelled + kept) {
      std::fprintf(stderr,
                   "label: %zu images were labelled but are not in the summary: their records in %s/records are gone. "
                   "Does another process write there? The same command with --resume labels them again.\n",
                   labelled + kept - total.images, s.out.c_str());
      return 1;
    }
  } else {
    std::printf("%s; %zu shards in %s\n", all.c_str(), mine.size(), s.out.c_str());
    std::printf("label --join %s puts their results together\n", s.out.c_str());
  }
  if (failed == 0) return 0;
  std::sort(failures.begin(), failures.end());
  std::fprintf(stderr, "\n%zu failures:\n", failed);
  for (auto const& [place, reason] : failures) std::fprintf(stderr, "  %s\n", reason.c_str());
  if (failed > failures.size())
    std::fprintf(stderr, "  and %zu more, in the records of the shards\n", failed - failures.size());
  return 1;
}

}  // namespace labelling
