#include "image_files.hpp"

#include "record.hpp"

#include <cambium/io/label_map.hpp>
#include <cambium/io/photograph.hpp>

#include <algorithm>
#include <filesystem>

namespace labelling {

using namespace cambium;
namespace fs = std::filesystem;

std::vector<input_file> inputs_of(settings const& s)
{
  std::vector<input_file> out{{"image", s.images}};
  for (auto& one : s.how->inputs()) out.push_back(std::move(one));
  out.push_back({"truth_instances", s.truth_instances});
  out.push_back({"truth_semantic", s.truth_semantic});
  std::erase_if(out, [](input_file const& f) { return f.path_template.empty(); });
  return out;
}

bool folder_source::has(input_file const& input) const { return is_there(path(input)); }

bytes folder_source::read(input_file const& input) const
{
  auto const file = path(input);
  try {
    return read_file(file);
  } catch (io_error const& e) {
    auto const id = quoted_id(id_);
    if (is_there(file) || id.back() == '\'') throw;
    throw io_error(std::string(e.what()) + "; the id is " + id);
  }
}

image_files::image_files(settings const& s, image_set const& set, std::string const& id, image_source const& from)
    : s_(s), set_(set), id_(id), from_(from), inputs_(inputs_of(s))
{
}

input_file const* image_files::find(std::string const& name) const
{
  auto const found = std::find_if(inputs_.begin(), inputs_.end(), [&](auto const& f) { return f.name == name; });
  return found == inputs_.end() ? nullptr : &*found;
}

std::string image_files::path(std::string const& name) const
{
  auto const* const input = find(name);
  return input == nullptr ? std::string{} : from_.path(*input);
}

bool image_files::has(std::string const& name) const
{
  auto const* const input = find(name);
  return input != nullptr && (!input->optional || from_.has(*input));
}

bytes image_files::file(std::string const& name)
{
  auto const* const input = find(name);
  if (input == nullptr) throw io_error(id_ + ": the command line does not name its " + name);
  auto content = from_.read(*input);
  hashes_[name] = hash(content);
  return content;
}

grid<std::int32_t, 2> image_files::labels(std::string const& name) { return parse_label_map(file(name), path(name)); }

grid<std::uint8_t, 3> const& image_files::photograph()
{
  if (!photograph_)
    photograph_ = has("image") ? parse_photograph(file("image"), path("image")) : make_grid<std::uint8_t>({0, 0, 3});
  return *photograph_;
}

extent2 image_files::image_size(extent2 otherwise)
{
  if (!has("image")) return otherwise;
  if (s_.overlay) photograph();
  if (photograph_) return {photograph_->shape()[0], photograph_->shape()[1]};
  if (!size_) size_ = photograph_size(file("image"), path("image"));
  return *size_;
}

std::string image_files::tags_path() const { return s_.shard_files.empty() ? s_.tags : from_.path({"tags", s_.tags}); }

void image_files::expects_tags() const
{
  if (set_.tagged && !s_.shard_files.empty() && !set_.tags.contains(id_)) throw io_error(tags_path() + ": is missing");
}

void image_files::expects_no_class(std::string const& lacks) const
{
  auto const found = set_.tags.find(id_);
  if (found == set_.tags.end() || found->second.empty()) return;
  std::string classes;
  for (int const c : found->second) classes += " " + std::to_string(s_.tags_how.zero_based ? c - 1 : c);
  throw io_error(tags_path() + ": names " + (found->second.size() > 1 ? "classes" : "class") + classes + " for '" +
                 id_ + "', but " + path(lacks) + " is missing");
}

std::vector<int> image_files::channel_classes(std::int64_t channels) const
{
  expects_tags();
  return set_.classes(id_, channels, tags_path());
}

std::optional<std::vector<int>> image_files::tags(std::int64_t classes) const
{
  if (!set_.tagged) return std::nullopt;
  expects_tags();
  auto const found = set_.tags.find(id_);
  demand(found != set_.tags.end(), tags_path(), "has no line for " + quoted_id(id_));
  for (int const c : found->second)
    demand(c <= classes, tags_path(),
           "names class " + std::to_string(c) + " for '" + id_ + "', but there are " + std::to_string(classes));
  return found->second;
}

}  // namespace labelling
