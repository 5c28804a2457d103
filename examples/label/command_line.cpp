#include "hand_out.hpp"
#include "image_files.hpp"
#include "join.hpp"
#include "method.hpp"
#include "method_irnet.hpp"
#include "on_mpi.hpp"
#include "options.hpp"
#include "run.hpp"
#include "settings.hpp"
#include "shard.hpp"
#include "shard_run.hpp"
#include "shards.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace labelling {

std::shared_ptr<method> make_method(std::string const& name, settings& s)
{
  if (name == "irnet") return std::make_shared<irnet_method>(s);
  if (name == "bestie") return make_bestie(s);
  if (name == "boxes") return make_boxes(s);
  if (name == "proposals") return make_proposals(s);
  if (name == "scribbles") return make_scribbles(s);
  if (name == "cut") return make_cut(s);
  throw usage_error("--method: " + name + " not in {irnet,bestie,boxes,proposals,scribbles,cut}");
}

namespace {

/// The flags of one method: those of others would only be in the way, in its --help too.
option_table table_of(settings& s, method const& how, std::string& method_name, std::string& shard)
{
  auto const photographs = how.needs_photographs() ? option_is::required : option_is::usual;
  option_table table{{"",
                      {{"--method", &method_name, one_of(method_names),
                        "whose labels: irnet, bestie, boxes, proposals, scribbles or cut"},
                       {"--images", &s.images, has_id(), "photographs, JPEG or PNG", photographs}}}};
  table.insert(table.end(), how.table().begin(), how.table().end());
  option_table const common{
      {"",
       {{"--truth-instances", &s.truth_instances, has_id(),
         "true instances, PNG: 0 background, 1..N; 255 is void in 8 bits"},
        {"--truth-semantic", &s.truth_semantic, has_id(), "true classes, PNG: 0 background, 1..C, 255 void"},
        {"--ids",
         &s.ids,
         {},
         "list of ids, one a line; without it the template of the images, or of the first input if there are none, "
         "is matched against the disk"},
        {"--out", &s.out, {}, "folder for the labels", option_is::required}}},
      {"Labels",
       {{"--void-counts",
         &s.void_counts,
         {},
         "void pixels of the truth count against instances that cover them, as in chainercv"}}},
      {"Work",
       {{"--threads", &s.threads, whole(0, 4096),
         "cores to use; 0 is all. With --mpi and --shard one, unless this or OMP_NUM_THREADS says otherwise"},
        {"--shard",
         &shard,
         {},
         "I/N: only every N-th image, beginning with the I-th (1..N); auto: I and N from Slurm's or Open MPI's "
         "environment"},
        {"--mpi",
         &s.mpi,
         {},
         "share the images with the other processes: mpirun -n N label --mpi ..., or srun --mpi=pmix"},
        {"--resume", &s.resume, {}, "keep what an earlier run finished with the same inputs and parameters"},
        {"--overlay", &s.overlay, {}, "also draw the instances on the photographs"},
        {"--dry-run", &s.dry_run, {}, "count files, estimate time and memory, write nothing"}}}};
  table.insert(table.end(), common.begin(), common.end());
  return table;
}

/// What this process prints is not shown: another one prints the same.
class silence {
 public:
  silence() = default;
  ~silence() { end(); }
  silence(silence const&) = delete;
  silence& operator=(silence const&) = delete;

  void begin()
  {
    std::fflush(nullptr);
    int const nowhere = ::open("/dev/null", O_WRONLY);
    for (int const shown : {STDOUT_FILENO, STDERR_FILENO}) {
      kept_.emplace_back(shown, ::dup(shown));
      ::dup2(nowhere, shown);
    }
    ::close(nowhere);
  }
  void end()
  {
    std::fflush(nullptr);
    for (auto const& [shown, kept] : kept_) {
      ::dup2(kept, shown);
      ::close(kept);
    }
    kept_.clear();
  }

 private:
  std::vector<std::pair<int, int>> kept_;
};

/// The value of a flag; nothing without it.
std::string value_of(std::string const& flag, std::vector<std::string> const& words)
{
  std::string value;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == flag && i + 1 < words.size()) value = words[i + 1];
    if (words[i].rfind(flag + "=", 0) == 0) value = words[i].substr(flag.size() + 1);
  }
  return value;
}

/// What the command line says of shards.
struct shard_words {
  bool files = false;
  std::string leave_out, join;
  std::set<std::string> required;  ///< flags of inputs, which shards have without being told
};

/// Adds the flags of shards, and lets shards stand for the flags of inputs.
void add_shards(option_table& table, shard_words& shards, std::vector<std::string> const& words)
{
  bool const given = names_shards(value_of("--images", words));
  for (auto& group : table)
    for (auto& row : group.rows) {
      if (row.name() == "--images") {
        row.valid = has_id_or_is_tar();
        row.help += "; or tar shards 'set-{000000..000999}.tar' or 'a.tar,b.tar', which hold all inputs";
      }
      if (!given || row.kind != option_is::required || row.name() == "--out") continue;
      shards.required.insert(row.name());
      if (row.name() != "--images") row.kind = option_is::usual;
    }
  table.push_back({"Shards",
                   {{"--files", &shards.files, {}, "write files in folders, not shards"},
                    {"--leave-out",
                     &shards.leave_out,
                     {},
                     "inputs that are not read though shards hold them, by their flags: displacements,tags"},
                    {"--join",
                     &shards.join,
                     {},
                     "alone: put the results of all shards in this folder together: detections.json, manifest.json, "
                     "scores.json"}}});
}

/// The word after --method; irnet without one.
std::string method_asked_for(std::vector<std::string> const& words)
{
  std::string name = "irnet";
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--method" && i + 1 < words.size()) name = words[i + 1];
    if (words[i].rfind("--method=", 0) == 0) name = words[i].substr(9);
  }
  return name;
}

/// Complains of a flag that only other methods have.
void refuse_flags_of_others(std::string const& asked, option_table const& mine, std::vector<std::string> const& words)
{
  for (auto const& word : words) {
    std::string const flag = word.substr(0, word.find('='));
    if (flag.rfind("--", 0) != 0 || flag.size() < 3 || flag == "--help" || knows(mine, flag)) continue;
    std::string others;
    for (auto const& name : method_names) {
      settings s;
      if (name != asked && knows(make_method(name, s)->table(), flag)) others += (others.empty() ? "" : " and ") + name;
    }
    if (!others.empty()) throw usage_error(flag + " is a flag of --method " + others + "; the method here is " + asked);
  }
}

/// The command line, taken apart.
struct command_line {
  std::shared_ptr<method> how;
  std::string method_name = "irnet", shard;
  option_table table;
  shard_words shards;
  std::set<std::string> given;
};

/// @return the status, if there is nothing more to do: it was --help
/// @throws usage_error
std::optional<int> read_command_line(settings& s, command_line& line, std::vector<std::string> const& words, int count,
                                     char const* const* arguments)
{
  for (auto const& word : words)
    if (word.rfind("--mpi=", 0) == 0)
      throw usage_error(word + ": --mpi takes no value; 'mpirun -n N label --mpi' says how many processes");
  auto const name = method_asked_for(words);
  line.how = make_method(name, s);
  s.how = line.how;
  line.table = table_of(s, *line.how, line.method_name, line.shard);
  add_shards(line.table, line.shards, words);
  refuse_flags_of_others(name, line.table, words);
  program_words const about{
      "label",
      "Turns weak labels into semantic and instance labels: class activation maps and boundary maps (irnet),\n"
      "semantic maps, points and centres (bestie), boxes (boxes), masks of a model that knows no classes "
      "(proposals),\n"
      "scribbles and points (scribbles), or a network's features, without any label (cut).",
      "Files are named by templates: --images 'DIR/{id}.jpg' or 'DIR/{id}/image.jpg'; {id} stands for the image's "
      "id.\nThese are the flags of --method " +
          name +
          "; each method has a --help of its own.\n"
          "Status: 0 all images labelled, 1 some failed, 2 usage."};
  if (auto const status = parse(about, line.table, count, arguments, &line.given)) return status;

  std::string const& shard = line.shard;
  if (s.mpi && !shard.empty())
    throw usage_error("--mpi hands out the images itself; --shard is for processes that do not know of each other");
  if (auto const job = processes_of_job(); !s.mpi && shard.empty() && job.processes > 1)
    throw usage_error("this is one of " + std::to_string(job.processes) + " processes, by " + job.variable +
                      ", and each of them would label all images; --mpi or --shard auto divides them, --shard 1/1 says "
                      "that this one labels all");
  if (!shard.empty()) {
    auto const mine = shard_of(shard);
    s.shard = mine.number, s.shards = mine.of;
    if (shard == "auto") std::fprintf(stderr, "shard %d/%d, by %s\n", mine.number, mine.of, mine.source.c_str());
  }
  // many processes on a machine: each more thread would take a core from another process
  if ((s.mpi || !shard.empty()) && !line.given.contains("--threads") && std::getenv("OMP_NUM_THREADS") == nullptr)
    s.threads = 1;
  if (!names_shards(s.images) && (line.shards.files || !line.shards.leave_out.empty()))
    throw usage_error(std::string(line.shards.files ? "--files" : "--leave-out") +
                      " is for tar shards, which --images names");
  if (s.out.empty()) throw usage_error("--out is empty");
  return std::nullopt;
}

/// Reads what the command line names and all images share.
/// @throws usage_error, io_error
void get_ready(settings& s, command_line const& line)
{
  if (names_shards(s.images)) {
    find_members(s, line.table, line.given, line.shards.required, line.shards.leave_out);
    if (!line.shards.files) s.shard_outputs = output_names(s.shard_files);
  }
  if (s.truth_semantic.empty() && !s.truth_instances.empty())
    throw usage_error("--truth-instances needs --truth-semantic, which says their classes");
  if (s.overlay && s.images.empty()) throw usage_error("--overlay needs --images to draw on");
  line.how->get_ready(line.given);
}

/// What decides the bytes of the outputs, apart from the inputs' content.
json what_decides(settings const& s)
{
  json inputs = json::array();
  for (auto const& input : inputs_of(s)) inputs.push_back(input.name);
  return {{"version", CAMBIUM_VERSION},
          {"parameters", s.how->parameters()},
          {"inputs", inputs},
          {"shards", s.shard_outputs}};
}

/// All processes say the same.
/// @param subject  what is compared, for the complaint
/// @throws usage_error in all of them, if one says anything else than the leader
void expects_same(crew& workers, std::string const& subject, json const& mine)
{
  std::string text = mine.dump();
  json const here = json::parse(text);
  workers.share(text);
  workers.expects_ready(complaint_of([&] {
    json const there = json::parse(text);
    json const difference = json::diff(there, here);
    if (difference.empty()) return;
    json::json_pointer const at(difference.front().at("path").get<std::string>());
    auto const value = [&](json const& of) { return of.contains(at) ? of.at(at).dump() : "nothing"; };
    throw usage_error("its " + subject + " differs from rank 0's: " + at.to_string().substr(1) + " is " + value(here) +
                      " instead of " + value(there));
  }));
}

}  // namespace

int label(int count, char const* const* arguments)
{
  std::unique_ptr<crew> workers;
  silence others;
  return run_program("label", [&] {
    std::vector<std::string> const words(arguments + 1, arguments + count);
    if (std::string const out = value_of("--join", words); !out.empty()) {
      if (words.size() != (words.front() == "--join" ? 2u : 1u)) throw usage_error("--join OUT stands alone");
      return join(out);
    }
    bool const mpi = std::any_of(words.begin(), words.end(), [](std::string const& word) {
      return word == "--mpi" || word.rfind("--mpi=", 0) == 0;
    });
    workers = mpi ? join_mpi() : std::make_unique<lone_process>();
    if (!workers->leads()) others.begin();
    settings s;
    command_line line;
    bool ended = false;
    int status = 0;
    workers->expects_ready(complaint_of([&] {
      auto const done = read_command_line(s, line, words, count, arguments);
      ended = done.has_value();
      status = done.value_or(0);
    }));
    if (workers->processes() > 1)
      expects_same(*workers, "command line",
                   {{"--help", ended},
                    {"--method", line.method_name},
                    {"--resume", s.resume},
                    {"--dry-run", s.dry_run},
                    {"tar shards", names_shards(s.images)},
                    {"--files", line.shards.files}});
    if (ended) return status;
    workers->expects_ready(complaint_of([&] { get_ready(s, line); }));
    if (workers->processes() > 1) expects_same(*workers, "run", what_decides(s));
    others.end();
    return run(s, *workers);
  });
}

}  // namespace labelling
