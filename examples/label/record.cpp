#include "record.hpp"

#include "image_files.hpp"

// These functions need 20 kB of a static libcrypto, EVP_Digest all of its 4 MB.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <memory>
#include <utility>

namespace labelling {

namespace fs = std::filesystem;

struct hasher::state {
  SHA256_CTX sum;
};

hasher::hasher() : state_(std::make_unique<state>()) { SHA256_Init(&state_->sum); }
hasher::~hasher() = default;

void hasher::add(void const* data, std::size_t size) { SHA256_Update(&state_->sum, data, size); }

std::string hasher::text()
{
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256_Final(digest, &state_->sum);
  std::string text;
  for (unsigned char const byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string hash(cambium::bytes const& content)
{
  hasher sum;
  sum.add(content.data(), content.size());
  return sum.text();
}

std::string fingerprint(settings const& s)
{
  std::string const text = std::string("cambium ") + CAMBIUM_VERSION + "\n" + s.how->parameters().dump();
  return hash({text.begin(), text.end()});
}

fs::path record_path(settings const& s, std::string const& id) { return fs::path(s.out) / "records" / (id + ".json"); }

std::optional<json> any_record(settings const& s, std::string const& id)
{
  std::error_code failure;
  auto const path = record_path(s, id);
  if (!fs::exists(path, failure)) return std::nullopt;
  try {
    auto const content = cambium::read_file(path);
    auto record = json::parse(content.begin(), content.end());
    bool const is_one = record.at("fingerprint").is_string() && record.at("id") == id;
    if (is_one) return std::make_optional(std::move(record));
  } catch (std::exception const&) {
    // a record that does not parse is as good as none: the image is labelled again
  }
  return std::nullopt;
}

std::optional<json> read_record(settings const& s, std::string const& id)
{
  auto record = any_record(s, id);
  if (record && record->at("fingerprint") != fingerprint(s)) record.reset();
  return record;
}

namespace {

bool unchanged(fs::path const& path, std::string const& expected)
{
  try {
    return hash(cambium::read_file(path)) == expected;
  } catch (cambium::io_error const&) {
    return false;
  }
}

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

void remove_recorded(settings const& s, json const& record, json const& kept)
{
  auto const id = record.at("id").get<std::string>();
  auto const outputs = record.find("outputs");
  if (outputs == record.end() || !outputs->is_object()) return;
  for (auto const& name : possible_outputs(id)) {
    auto const sum = outputs->find(name);
    if (sum == outputs->end() || !sum->is_string() || kept.contains(name)) continue;
    fs::path const path = fs::path(s.out) / name;
    std::error_code ignored;
    if (unchanged(path, *sum)) fs::remove(path, ignored);
  }
}

void forget(settings const& s, std::string const& id)
{
  auto const record = any_record(s, id);
  if (!record) return;
  std::error_code ignored;
  fs::remove(record_path(s, id), ignored);
  remove_recorded(s, *record, json::object());
}

}  // namespace labelling
