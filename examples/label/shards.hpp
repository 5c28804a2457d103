#pragma once
// Tar shards of samples, as WebDataset writes them: the files of an image are members that share a stem. For example
// `a/c.v1.jpg`, `a/c.v1.cam.npy` and `a/c.v1.cls` belong to the image `a/c.v1`: the id is the whole path before the known
// ending. A build without libarchive has shards_none.cpp, whose functions say so.

#include "image_set.hpp"
#include "image_source.hpp"
#include "options.hpp"
#include "settings.hpp"
#include "tar.hpp"

#include <cambium/io/file.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace labelling {

/// Whether the word behind --images names shards: it is no template, and a name in it ends in .tar.
inline bool names_shards(std::string const& images)
{
  return images.find("{id}") == std::string::npos && (images + ",").find(".tar,") != std::string::npos;
}

/// The names in a list 'a.tar,b-{000..012}.tar'. A range counts from its first number to its last one; if one of the two
/// begins with a zero, all numbers have as many digits. Several ranges in a name: the last one is the fastest.
/// @throws usage_error: a name, a brace or a range that is none; a name that occurs twice
std::vector<std::string> expand_shards(std::string const& images);

/// The names of the outputs of shards, without ending: 'labels-' and the number at the end of the shard's name, if all
/// have different numbers; else 'labels-' and the name.
/// @throws usage_error: two shards would have the same outputs
std::vector<std::string> output_names(std::vector<std::string> const& shards);

/// Let the flags of inputs name members of the shards. A flag that the command line has must be a template such as
/// '{id}.heat.npy'. Of the others those are set whose usual ending occurs in the first shard; index_shard() refuses
/// shards that hold one more.
/// @param required  flags that cannot be left out
/// @param leave_out names of inputs that are not read although they are there
/// @throws usage_error, io_error
void find_members(settings& s, option_table const& table, std::set<std::string> const& given,
                  std::set<std::string> const& required, std::string const& leave_out);

/// What a shard holds.
struct shard_index {
  struct sample {
    std::string id;
    std::uint32_t members = 0;  ///< of its, in the shard
    std::string reason{};       ///< why it cannot be labelled: "member: reason"
  };
  std::vector<sample> samples;                 ///< in the order of their last members
  std::string hash;                            ///< SHA-256 of the file
  std::string cut;                             ///< why there may have been more samples: "is cut off at byte 123"
  std::map<std::string, std::size_t> ignored;  ///< members that no input is, by their ending
};

/// The members that are read for an image: their inputs and templates. Labels that were made from others differ.
json members_read(settings const& s);

/// Reads the names of all members.
/// @throws content_error "shard: reason": it is no archive; an id occurs twice; members of a sample lie too far apart; it
/// holds an input that the first shard lacks
/// @throws io_error "shard: reason": the disk fails
shard_index index_shard(settings const& s, std::string const& path);

/// An image of a shard: its files are in memory.
class shard_sample : public image_source {
 public:
  shard_sample(std::string shard, std::string id) : shard_(std::move(shard)), id_(std::move(id)) {}

  void add(std::string const& path_template, std::string const& member, cambium::bytes content);

  bool has(input_file const& input) const override { return files_.contains(input.path_template); }
  std::string path(input_file const& input) const override;
  cambium::bytes read(input_file const& input) const override;

  std::string const& id() const { return id_; }
  /// The image alone, with the classes of its .cls if it has one.
  /// @throws io_error
  image_set set(settings const& s) const;

  std::string reason;  ///< why it cannot be labelled

 private:
  struct file {
    std::string member;
    cambium::bytes content;
  };
  std::string shard_, id_;
  std::map<std::string, file> files_;  ///< by template
};

/// Reads the samples of a shard one after another.
class sample_reader {
 public:
  /// @param index  of the shard, for as long as the object lives
  sample_reader(settings const& s, std::string const& path, shard_index const& index);

  /// The next sample in the order of the index. A sample that the shard has lost has a reason.
  /// @throws io_error: the disk fails
  std::unique_ptr<shard_sample> next();

 private:
  std::unique_ptr<shard_sample> release(std::size_t place);

  settings const& s_;
  std::string path_;
  shard_index const& index_;
  tar_reader from_;
  std::unordered_map<std::string, std::size_t> places_;
  std::unordered_map<std::size_t, std::pair<std::unique_ptr<shard_sample>, std::uint32_t>> open_;
  std::size_t next_ = 0;
  bool ended_ = false;
};

}  // namespace labelling
