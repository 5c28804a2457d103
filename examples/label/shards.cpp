#include "shards.hpp"

#include "image_files.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <string_view>

namespace labelling {

namespace fs = std::filesystem;
using cambium::io_error;

namespace {

constexpr std::string_view photograph = "{id}.jpg";  // stands for all endings of photographs
constexpr std::uint64_t largest_held = std::uint64_t{1} << 30;

/// The flags of inputs and the usual endings of their members.
struct usual_ending {
  char const *flag, *ending;
};
constexpr usual_ending usual_endings[] = {{"--cams", ".cam.npy"},
                                          {"--boundaries", ".boundary.npy"},
                                          {"--displacements", ".displacement.npy"},
                                          {"--seg", ".seg.npy"},
                                          {"--centres", ".centres.npy"},
                                          {"--offsets", ".offsets.npy"},
                                          {"--semantic", ".semantic.png"},
                                          {"--points", ".points.txt"},
                                          {"--boxes", ".boxes.xml"},
                                          {"--mu", ".mu.npy"},
                                          {"--log-variance", ".log_variance.npy"},
                                          {"--masks", ".masks.png"},
                                          {"--proposals", ".proposals.json"},
                                          {"--scribbles", ".scribbles.png"},
                                          {"--features", ".features.npy"},
                                          {"--tags", ".cls"},
                                          {"--truth-semantic", ".truth_semantic.png"},
                                          {"--truth-instances", ".truth_instances.png"}};

/// Endings of what label itself writes into shards: these are no photographs.
constexpr std::string_view of_outputs[] = {".instances.png", ".overlay.jpg", ".scores.png", ".trust.png"};

bool ends_as_photograph(std::string const& name, std::size_t& length)
{
  for (std::string_view const ending : {".jpg", ".jpeg", ".png"}) {
    if (name.size() < ending.size()) continue;
    bool const same = std::equal(ending.begin(), ending.end(), name.end() - static_cast<std::ptrdiff_t>(ending.size()),
                                 [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b); });
    if (same) {
      length = ending.size();
      return true;
    }
  }
  return false;
}

/// What a member is to its sample.
struct member_name {
  std::string id;
  std::string input;   ///< the template of the input; empty: none
  std::string ending;  ///< empty: unknown
};

/// Splits names of members into ids and endings; the longest ending counts.
class member_names {
 public:
  explicit member_names(settings const& s)
  {
    for (auto const& [flag, ending] : usual_endings) endings_.emplace(ending, "");
    for (auto const ending : of_outputs) endings_.emplace(ending, "");
    auto const use = [&](std::string const& path_template) {
      if (path_template.rfind("{id}.", 0) == 0) endings_[path_template.substr(4)] = path_template;
    };
    for (auto const& input : inputs_of(s)) use(input.path_template);
    endings_.erase(std::string(photograph.substr(4)));
    use(s.tags);
    photographs_ = !s.images.empty();
  }

  member_name of(std::string name) const
  {
    if (name.rfind("./", 0) == 0) name.erase(0, 2);  // of tar -c .
    std::string_view best, input;
    for (auto const& [ending, used] : endings_)
      if (name.ends_with(ending) && ending.size() > best.size()) best = ending, input = used;
    std::size_t length = 0;
    if (best.empty() && ends_as_photograph(name, length)) {
      if (photographs_) input = photograph;
      best = std::string_view(name).substr(name.size() - length);
    }
    return {name.substr(0, name.size() - best.size()), std::string(input), std::string(best)};
  }

 private:
  std::map<std::string, std::string> endings_;  ///< and the template of the input that is read
  bool photographs_ = false;
};

/// What a note calls the ending of a member.
std::string ending_of(member_name const& name, std::string const& called)
{
  return name.ending.empty() ? fs::path(called).extension().string() : name.ending;
}

/// "3" of "set-3.tar", to say what shards differ in.
struct braces {
  std::string before, after;
  std::vector<std::string> numbers;
};

std::optional<braces> first_range(std::string const& name)
{
  auto const open = name.find('{'), shut = name.find('}');
  if (open == std::string::npos && shut == std::string::npos) return std::nullopt;
  auto const complain = [&] {
    throw usage_error("--images " + name + ": a range is written {000..012}, its first number not above its last one");
  };
  if (open == std::string::npos || shut == std::string::npos || shut < open) complain();
  std::string const inside = name.substr(open + 1, shut - open - 1);
  auto const dots = inside.find("..");
  if (dots == std::string::npos) complain();
  std::string const from = inside.substr(0, dots), to = inside.substr(dots + 2);
  auto const number = [&](std::string const& text) {
    std::uint64_t value = 0;
    auto const [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || failure != std::errc{} || stop != text.data() + text.size()) complain();
    return value;
  };
  auto const first = number(from), last = number(to);
  if (last < first) complain();
  if (last - first >= 10'000'000) throw usage_error("--images " + name + ": more than ten million shards");
  bool const padded = (from.size() > 1 && from[0] == '0') || (to.size() > 1 && to[0] == '0');
  std::size_t const width = padded ? std::max(from.size(), to.size()) : 0;
  braces out{name.substr(0, open), name.substr(shut + 1), {}};
  for (auto n = first; n <= last; ++n) {
    std::string text = std::to_string(n);
    if (text.size() < width) text.insert(0, width - text.size(), '0');
    out.numbers.push_back(text);
  }
  return out;
}

void expand(std::string const& name, std::vector<std::string>& to)
{
  auto const range = first_range(name);
  if (!range) {
    to.push_back(name);
    return;
  }
  for (auto const& n : range->numbers) {
    std::size_t const from = to.size();
    expand(range->after, to);
    for (std::size_t i = from; i < to.size(); ++i) to[i].insert(0, range->before + n);
    if (to.size() > 10'000'000) throw usage_error("--images: more than ten million shards");
  }
}

/// The parts of a text between separators.
std::vector<std::string> split(std::string const& text, char separator)
{
  std::vector<std::string> out;
  std::size_t at = 0;
  for (std::size_t stop; (stop = text.find(separator, at)) != std::string::npos; at = stop + 1)
    out.push_back(text.substr(at, stop - at));
  out.push_back(text.substr(at));
  return out;
}

}  // namespace

std::vector<std::string> expand_shards(std::string const& images)
{
  std::vector<std::string> out;
  for (auto const& name : split(images, ',')) {
    if (!name.ends_with(".tar"))
      throw usage_error("--images " + images + ": '" + name + "' does not end in .tar, as shards do");
    expand(name, out);
  }
  std::set<std::string> seen;
  for (auto const& name : out)
    if (!seen.insert(name).second) throw usage_error("--images " + images + ": " + name + " is named twice");
  return out;
}

std::vector<std::string> output_names(std::vector<std::string> const& shards)
{
  std::vector<std::string> stems, numbers;
  for (auto const& shard : shards) {
    stems.push_back(fs::path(shard).stem().string());
    auto const& stem = stems.back();
    numbers.push_back(stem.substr(stem.find_last_not_of("0123456789") + 1));
  }
  auto const twins = [](std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    auto const twin = std::adjacent_find(names.begin(), names.end());
    return twin == names.end() ? std::optional<std::string>() : *twin;
  };
  bool const numbered = std::none_of(numbers.begin(), numbers.end(), [](auto const& n) { return n.empty(); });
  auto out = numbered && !twins(numbers) ? std::move(numbers) : std::move(stems);
  if (auto const twin = twins(out))
    throw usage_error("--images: two shards named " + *twin + ".tar would both become labels-" + *twin +
                      ".tar; label them into different folders");
  for (auto& name : out) name.insert(0, "labels-");
  return out;
}

void find_members(settings& s, option_table const& table, std::set<std::string> const& given,
                  std::set<std::string> const& required, std::string const& leave_out)
{
  std::string const images = s.images;
  s.shard_files = expand_shards(images);
  if (!s.ids.empty()) throw usage_error("--ids is a list for files in folders; shards are labelled whole");
  std::size_t missing = 0;
  std::string first;
  for (auto const& path : s.shard_files) {
    std::error_code failure;
    if (!fs::is_regular_file(path, failure) && missing++ == 0) first = path;
  }
  if (missing > 0)
    throw usage_error(first + ": there is no such file; " + std::to_string(missing) + " of " +
                      std::to_string(s.shard_files.size()) + " shards are missing");

  std::set<std::string> left;
  if (!leave_out.empty())
    for (auto const& name : split(leave_out, ',')) left.insert(name);

  // the endings in the first shard
  std::map<std::string, std::size_t> there;
  {
    s.images.clear();
    settings none;
    none.how = s.how;
    member_names const names(none);
    tar_reader from(s.shard_files.front());
    tar_member one;
    for (tar_step step; (step = from.next(one)) == tar_step::entry || step == tar_step::damage;)
      if (step == tar_step::entry && !one.folder) ++there[ending_of(names.of(one.name), one.name)];
  }
  auto const is_photograph = [](std::string const& ending) {
    std::size_t length = 0;
    return ends_as_photograph(ending, length) && length == ending.size();
  };
  if (left.erase("images") == 0) {
    if (std::any_of(there.begin(), there.end(), [&](auto const& e) { return is_photograph(e.first); }))
      s.images = std::string(photograph);
    else
      s.shard_unread.emplace(photograph.substr(4), "--images");
  }
  if (s.images.empty() && required.contains("--images"))
    throw usage_error(s.shard_files.front() + ": has no photograph (.jpg, .jpeg, .png)");

  std::vector<std::string> inputs_read;
  for (auto const& group : table)
    for (auto const& row : group.rows) {
      auto const* const to = std::get_if<std::string*>(&row.to);
      auto const usual = std::find_if(std::begin(usual_endings), std::end(usual_endings),
                                      [&](usual_ending const& u) { return row.name() == u.flag; });
      if (to == nullptr || usual == std::end(usual_endings)) continue;
      std::string& path = **to;
      bool const out = left.erase(row.name().substr(2)) > 0;
      if (given.contains(row.name())) {
        if (out) throw usage_error("--leave-out " + row.name().substr(2) + ": " + row.name() + " is given");
        bool const shared =
            path.find("{id}") == std::string::npos && row.name() != "--tags";  // one file for all images
        if (!shared && (path.rfind("{id}.", 0) != 0 || path.find('/') != std::string::npos ||
                        path.find("{id}", 4) != std::string::npos || path.size() < 6))
          throw usage_error(row.name() + " " + path + ": with shards it names a member, such as '{id}" +
                            std::string(usual->ending) + "'");
      } else if (!out && there.contains(usual->ending)) {
        path = std::string("{id}") + usual->ending;
      } else if (required.contains(row.name())) {
        throw usage_error(s.shard_files.front() + ": no member ends in " + usual->ending + ", as " + row.name() +
                          " needs; " + row.name() + " '{id}.ENDING' names another ending");
      } else if (!out) {
        s.shard_unread.emplace(usual->ending, usual->flag);
      }
      inputs_read.push_back(path);
    }
  for (auto const& [ending, count] : there) {
    bool const used =
        (is_photograph(ending) && !s.images.empty()) || "{id}" + ending == s.tags ||
        std::any_of(inputs_read.begin(), inputs_read.end(), [&](auto const& t) { return "{id}" + ending == t; });
    if (!used)
      std::fprintf(stderr, "note: %s: %zu members that end in '%s' are no input here\n", s.shard_files.front().c_str(),
                   count, ending.c_str());
  }
  if (!left.empty()) throw usage_error("--leave-out " + *left.begin() + ": no flag of an input is called so");
}

namespace {

/// Whether members of samples lie so far apart that too much would be held in memory.
void expects_near(std::vector<std::pair<std::uint32_t, std::uint64_t>> const& members,
                  std::vector<std::uint32_t> counts, std::string const& path, std::vector<std::string> const& ids)
{
  std::unordered_map<std::uint32_t, std::uint64_t> open;
  std::uint64_t held = 0;
  for (auto const& [place, size] : members) {
    open[place] += size;
    held += size;
    if (--counts[place] == 0) {
      held -= open[place];
      open.erase(place);
    }
    if (held > largest_held && open.size() > 1)
      throw content_error(
          path + ": the files of '" + ids[open.begin()->first] + "' and of " + std::to_string(open.size() - 1) +
          " other images lie so far apart that more than 1 GB would have to be held; write the shard with "
          "the files of an image side by side");
  }
}

/// No shard holds an input that would be read if the first shard had it.
/// @param called  a member that is not read
void expects_no_input(settings const& s, member_name const& name, std::string const& called, std::string const& path)
{
  std::size_t length = 0;
  bool const is_photograph = ends_as_photograph(name.ending, length) && length == name.ending.size();
  auto const found = s.shard_unread.find(is_photograph ? std::string(photograph.substr(4)) : name.ending);
  if (found == s.shard_unread.end()) return;
  std::string const input = found->second.substr(2);
  throw content_error(path + ": holds " + called + ", but " + s.shard_files.front() + " has no such member, so " +
                      found->second + " would not be read; say " +
                      (is_photograph ? "" : "--" + input + " '{id}" + name.ending + "' or ") + "--leave-out " + input);
}

}  // namespace

json members_read(settings const& s)
{
  json out = json::object();
  for (auto const& input : inputs_of(s)) out[input.name] = input.path_template;
  if (!s.tags.empty()) out["tags"] = s.tags;
  return out;
}

shard_index index_shard(settings const& s, std::string const& path)
{
  member_names const names(s);
  tar_reader from(path);
  shard_index out;
  std::vector<std::string> ids, reasons;
  std::map<std::string, std::uint64_t> bits;  // of inputs
  std::vector<std::uint64_t> has;             // which inputs a sample has
  std::unordered_map<std::string, std::uint32_t> places;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> members;
  std::vector<std::uint32_t> counts;
  std::optional<std::uint32_t> last;
  bool damaged = false;
  tar_member one;
  for (;;) {
    auto const step = from.next(one);
    if (step == tar_step::end) break;
    if (step == tar_step::cut || step == tar_step::damage) {
      // the sample of the member before it may have lost files
      if (last && reasons[*last].empty()) reasons[*last] = "the shard " + from.reason() + ", behind this image's files";
      damaged = step == tar_step::damage;
      out.cut = from.reason();
      if (step == tar_step::cut) break;
      continue;
    }
    if (one.folder) continue;
    auto const name = names.of(one.name);
    if (name.input.empty()) {
      expects_no_input(s, name, one.name, path);
      ++out.ignored[ending_of(name, one.name)];
      continue;
    }
    auto const [found, fresh] = places.try_emplace(name.id, static_cast<std::uint32_t>(ids.size()));
    auto const place = found->second;
    last = place;
    if (fresh) {
      ids.push_back(name.id);
      counts.push_back(0);
      has.push_back(0);
      reasons.emplace_back();
      if (auto const why = why_no_id(name.id); !why.empty()) reasons.back() = why;
      if (!is_utf8(name.id)) reasons.back() = "the name is not UTF-8";
    }
    if (damaged && reasons[place].empty()) reasons[place] = "the shard " + out.cut + ", before this image's files";
    damaged = false;
    auto const bit = std::uint64_t{1} << bits.try_emplace(name.input, bits.size()).first->second;
    if ((has[place] & bit) != 0)
      throw content_error(path + ": the image '" + name.id + "' occurs twice: " + one.name + " is a second " +
                          (name.input == photograph ? "photograph" : name.ending) + " of it");
    has[place] |= bit;
    if (!one.odd.empty() && reasons[place].empty()) reasons[place] = one.name + ": " + one.odd;
    ++counts[place];
    members.emplace_back(place, one.odd.empty() ? one.size : 0);
  }
  out.hash = from.hash();
  expects_near(members, counts, path, ids);
  auto left = counts;
  for (auto const& [place, size] : members)
    if (--left[place] == 0) out.samples.push_back({ids[place], counts[place], reasons[place]});
  return out;
}

void shard_sample::add(std::string const& path_template, std::string const& called, cambium::bytes content)
{
  files_[path_template] = {called, std::move(content)};
}

std::string shard_sample::path(input_file const& input) const
{
  auto const found = files_.find(input.path_template);
  return shard_ + ": " + (found == files_.end() ? fill(input.path_template, id_) : found->second.member);
}

cambium::bytes shard_sample::read(input_file const& input) const
{
  auto const found = files_.find(input.path_template);
  if (found == files_.end()) throw io_error(path(input) + ": is missing");
  return found->second.content;
}

image_set shard_sample::set(settings const& s) const
{
  image_set out;
  out.ids = {id_};
  out.numbers_ = {1};
  out.tagged = !s.tags.empty();
  if (!out.tagged) return out;
  input_file const input{"tags", s.tags};
  if (!has(input)) return out;  // an image without a CAM needs none
  out.tags[id_] = parse_classes(read(input), path(input), s.tags_how);
  return out;
}

sample_reader::sample_reader(settings const& s, std::string const& path, shard_index const& index)
    : s_(s), path_(path), index_(index), from_(path)
{
  for (std::size_t i = 0; i < index.samples.size(); ++i) places_.emplace(index.samples[i].id, i);
}

std::unique_ptr<shard_sample> sample_reader::release(std::size_t place)
{
  auto const found = open_.find(place);
  auto out = found == open_.end() ? nullptr : std::move(found->second.first);
  auto const& sample = index_.samples[place];
  if (!out) out = std::make_unique<shard_sample>(path_, sample.id);
  bool const whole = found != open_.end() && found->second.second == sample.members;
  if (found != open_.end()) open_.erase(found);
  if (!sample.reason.empty())
    out->reason = path_ + ": " + sample.id + ": " + sample.reason;
  else if (!whole && out->reason.empty())
    out->reason = path_ + ": " + sample.id + ": has changed while it was read";
  ++next_;
  return out;
}

std::unique_ptr<shard_sample> sample_reader::next()
{
  member_names const names(s_);
  tar_member one;
  while (!ended_) {
    auto const step = from_.next(one);
    if (step == tar_step::damage) continue;
    if (step != tar_step::entry) {
      ended_ = true;
      break;
    }
    if (one.folder) continue;
    auto const name = names.of(one.name);
    if (name.input.empty()) continue;
    auto const at = places_.find(name.id);
    if (at == places_.end()) continue;
    auto const place = at->second;
    auto& [sample, count] = open_[place];
    if (!sample) sample = std::make_unique<shard_sample>(path_, name.id);
    ++count;
    if (index_.samples[place].reason.empty() && one.odd.empty()) {
      try {
        sample->add(name.input, one.name, from_.content(one));
      } catch (io_error const& e) {
        sample->reason = e.what();
      }
    }
    if (count == index_.samples[place].members && place == next_) return release(place);
  }
  return next_ < index_.samples.size() ? release(next_) : nullptr;
}

}  // namespace labelling
