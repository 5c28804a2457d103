#include "network/safetensors.hpp"

#include <cambium/core/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>

namespace trainer {

using cambium::bytes;
using cambium::expects;
using cambium::io_error;
using cambium::precondition_error;
using nlohmann::json;

namespace {

struct cell_type {
  char const* name;
  torch::ScalarType type;
  std::size_t width;
};
constexpr cell_type cell_types[] = {{"F64", torch::kFloat64, 8}, {"F32", torch::kFloat32, 4},
                                    {"F16", torch::kFloat16, 2}, {"BF16", torch::kBFloat16, 2},
                                    {"I64", torch::kInt64, 8},   {"I32", torch::kInt32, 4},
                                    {"I16", torch::kInt16, 2},   {"I8", torch::kInt8, 1},
                                    {"U8", torch::kUInt8, 1},    {"BOOL", torch::kBool, 1}};
constexpr std::size_t longest_header = 100'000'000, longest_name = 4096, most_axes = 16;
constexpr std::uint64_t most_elements = std::uint64_t{1} << 48;

std::string shape_text(torch::IntArrayRef shape)
{
  std::string text = "[";
  for (auto const e : shape) text += (text.size() > 1 ? "," : "") + std::to_string(e);
  return text + "]";
}

cell_type const* find_type(torch::ScalarType type)
{
  for (auto const& t : cell_types)
    if (t.type == type) return &t;
  return nullptr;
}

/// Little-endian cells from or to the order of this machine.
void reorder(void* cells, std::size_t size, std::size_t width)
{
  if constexpr (std::endian::native == std::endian::big) {
    auto* const at = static_cast<unsigned char*>(cells);
    for (std::size_t i = 0; i < size; i += width) std::reverse(at + i, at + i + width);
  } else {
    static_cast<void>(cells), static_cast<void>(size), static_cast<void>(width);
  }
}

/// The header as JSON. nlohmann::json would keep the last of two entries of one name without a word.
json parse_header(char const* first, char const* last, std::string const& file)
{
  std::vector<std::set<std::string>> seen;
  json::parser_callback_t const watch = [&](int depth, json::parse_event_t event, json& value) {
    auto const d = static_cast<std::size_t>(depth);
    if (d > 3) throw io_error(file + ": has a damaged header: it is nested too deeply");
    if (event == json::parse_event_t::object_start) {
      seen.resize(std::max(seen.size(), d + 1));
      seen[d].clear();
    } else if (event == json::parse_event_t::key) {
      auto const name = value.get<std::string>();
      if (!seen[d - 1].insert(name).second)
        throw io_error(file + ": has two entries " + in_quotes(name) + " in its header");
    }
    return true;
  };
  try {
    return json::parse(first, last, watch);
  } catch (json::exception const& e) {
    throw io_error(file + ": has a damaged header: " + e.what());
  }
}

/// Where a tensor lies.
struct place {
  std::string name;
  cell_type const* type = nullptr;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  ///< [bytes] behind the header
};

place parse_entry(std::string const& name, json const& entry, std::uint64_t held, std::string const& file)
{
  auto const fail = [&](std::string const& reason) {
    throw io_error(file + ": tensor " + in_quotes(name) + " " + reason);
  };
  if (name.empty()) fail("has no name");
  if (name.size() > longest_name) fail("has a name of " + std::to_string(name.size()) + " bytes");
  if (!entry.is_object()) fail("is not an object in the header");
  for (auto const& [key, value] : entry.items())
    if (key != "dtype" && key != "shape" && key != "data_offsets") fail("has an unknown entry " + in_quotes(key));
  for (char const* const key : {"dtype", "shape", "data_offsets"})
    if (!entry.contains(key)) fail(std::string("lacks its ") + key);
  place out{name, nullptr, {}, 0, 0};

  auto const& dtype = entry["dtype"];
  if (!dtype.is_string()) fail("has a dtype that is not a string");
  for (auto const& t : cell_types)
    if (dtype.get_ref<std::string const&>() == t.name) out.type = &t;
  if (out.type == nullptr)
    fail("is of type " + in_quotes(dtype.get<std::string>()) +
         "; known are F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL. Convert it before it is saved");

  auto const& shape = entry["shape"];
  if (!shape.is_array()) fail("has a shape that is not a list");
  if (shape.size() > most_axes) fail("has " + std::to_string(shape.size()) + " axes");
  bool empty = false;
  std::uint64_t elements = 1;  // without extents of 0, so that strides stay within their type as well
  for (auto const& e : shape) {
    if (!e.is_number_unsigned()) fail("has a shape that is not of whole numbers: " + shape.dump());
    auto const extent = e.get<std::uint64_t>();
    empty = empty || extent == 0;
    if (extent > most_elements / elements) fail("claims more than 2^48 elements: " + shape.dump());
    elements *= std::max<std::uint64_t>(extent, 1);
    out.shape.push_back(static_cast<std::int64_t>(extent));
  }

  auto const& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned())
    fail("has data_offsets that are not two whole numbers");
  out.begin = offsets[0], out.end = offsets[1];
  if (out.begin > out.end) fail("ends before it begins: " + offsets.dump());
  if (out.end > held)
    fail("ends at byte " + std::to_string(out.end) + ", but " + std::to_string(held) +
         " bytes are there: the file is truncated or its header damaged");
  std::uint64_t const needed = (empty ? 0 : elements) * out.type->width;
  if (out.end - out.begin != needed)
    fail("holds " + std::to_string(out.end - out.begin) + " bytes, but " + out.type->name + " " +
         shape_text(out.shape) + " needs " + std::to_string(needed));
  return out;
}

torch::Tensor tensor_at(place const& p, unsigned char const* data, std::string const& file)
{
  auto out = torch::empty(p.shape, torch::TensorOptions().dtype(p.type->type));
  std::size_t const size = p.end - p.begin;
  if (p.type->type == torch::kBool)
    for (std::size_t i = 0; i < size; ++i)
      if (data[p.begin + i] > 1)
        throw io_error(file + ": tensor " + in_quotes(p.name) + " holds a boolean of " +
                       std::to_string(data[p.begin + i]) + " at place " + std::to_string(i));
  if (size > 0) std::memcpy(out.data_ptr(), data + p.begin, size);
  reorder(out.data_ptr(), size, p.type->width);
  return out;
}

}  // namespace

std::string in_quotes(std::string const& name)
{
  std::string text = json(name).dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 200) text = text.substr(0, 200) + "...\"";
  return text;
}

std::string describe(torch::Tensor const& t)
{
  auto const* const type = find_type(t.scalar_type());
  return std::string(type ? type->name : c10::toString(t.scalar_type())) + " " + shape_text(t.sizes());
}

weights parse_safetensors(bytes const& file, std::string const& name)
{
  auto const fail = [&](std::string const& reason) { throw io_error(name + ": " + reason); };
  auto const begins = [&](char const* with, std::size_t n) {
    return file.size() >= n && std::memcmp(file.data(), with, n) == 0;
  };
  if (file.empty()) fail("is empty");
  if (begins("PK\x03\x04", 4) || begins("\x80\x02", 2))
    fail(
        "is a checkpoint of torch.save, which is not read because it can run code; save its state_dict with "
        "safetensors.torch.save_file");
  if (file.size() < 8) fail("is truncated inside the length of its header");
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < 8; ++i) length |= std::uint64_t{file[i]} << (8 * i);
  if (length > longest_header)
    fail("is not a safetensors file, or damaged: it claims a header of " + std::to_string(length) + " bytes");
  if (length > file.size() - 8)
    fail("is truncated inside its header: " + std::to_string(length) + " bytes are claimed, " +
         std::to_string(file.size() - 8) + " are there");
  auto const* const first = reinterpret_cast<char const*>(file.data()) + 8;
  if (length < 2 || *first != '{') fail("is not a safetensors file, or damaged: its header does not begin with '{'");
  json const header = parse_header(first, first + length, name);
  unsigned char const* const data = file.data() + 8 + length;
  std::uint64_t const held = file.size() - 8 - length;

  weights out;
  std::vector<place> places;
  for (auto const& [key, entry] : header.items()) {
    if (key != "__metadata__") {
      places.push_back(parse_entry(key, entry, held, name));
      continue;
    }
    if (!entry.is_object()) fail("has a __metadata__ that is not an object");
    for (auto const& [word, text] : entry.items()) {
      if (!text.is_string()) fail("has a __metadata__ entry " + in_quotes(word) + " that is not a string");
      out.metadata[word] = text.get<std::string>();
    }
  }
  std::sort(places.begin(), places.end(),
            [](place const& a, place const& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t reached = 0;
  std::string before;
  for (auto const& p : places) {
    if (p.begin < reached) fail("tensors " + in_quotes(before) + " and " + in_quotes(p.name) + " overlap");
    if (p.begin > reached)
      fail(std::to_string(p.begin - reached) + " bytes before tensor " + in_quotes(p.name) + " belong to none");
    reached = p.end, before = p.name;
  }
  if (reached != held) fail("has " + std::to_string(held - reached) + " bytes behind its last tensor");
  for (auto const& p : places) out.tensors[p.name] = tensor_at(p, data, name);
  return out;
}

weights read_safetensors(std::filesystem::path const& path)
{
  return parse_safetensors(cambium::read_file(path), path.string());
}

bytes format_safetensors(named_tensors const& tensors, std::map<std::string, std::string> const& metadata)
{
  struct item {
    std::string name;
    torch::Tensor cells;
    cell_type const* type;
  };
  std::vector<item> items;
  for (auto const& [name, tensor] : tensors) {
    expects(!name.empty() && name != "__metadata__" && name.size() <= longest_name,
            "format_safetensors: a tensor named ", in_quotes(name));
    expects(tensor.defined() && tensor.layout() == torch::kStrided, "format_safetensors: tensor ", in_quotes(name),
            " is undefined or sparse");
    auto const* const type = find_type(tensor.scalar_type());
    expects(type != nullptr, "format_safetensors: tensor ", in_quotes(name), " is of type ",
            c10::toString(tensor.scalar_type()));
    expects(tensor.sizes().size() <= most_axes, "format_safetensors: tensor ", in_quotes(name), " is ",
            shape_text(tensor.sizes()));
    items.push_back({name, tensor.detach().resolve_conj().resolve_neg().to(torch::kCPU).contiguous(), type});
  }
  std::stable_sort(items.begin(), items.end(),
                   [](item const& a, item const& b) { return a.type->width > b.type->width; });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t size = 0;
  for (auto const& i : items) {
    std::size_t const end = size + i.cells.nbytes();
    header[i.name] = {{"dtype", i.type->name},
                      {"shape", std::vector<std::int64_t>(i.cells.sizes().begin(), i.cells.sizes().end())},
                      {"data_offsets", {size, end}}};
    size = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (json::exception const& e) {
    throw precondition_error(std::string("format_safetensors: a name or metadata are not UTF-8: ") + e.what());
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  expects(text.size() <= longest_header, "format_safetensors: the header has ", text.size(), " bytes");

  bytes out;
  out.reserve(8 + text.size() + size);
  for (std::size_t i = 0; i < 8; ++i) out.push_back(static_cast<unsigned char>(text.size() >> (8 * i)));
  out.insert(out.end(), text.begin(), text.end());
  for (auto const& i : items) {
    auto const* const from = static_cast<unsigned char const*>(i.cells.data_ptr());
    std::size_t const at = out.size(), n = i.cells.nbytes();
    if (n > 0) out.insert(out.end(), from, from + n);
    reorder(out.data() + at, n, i.type->width);
  }
  return out;
}

void write_safetensors(std::filesystem::path const& path, named_tensors const& tensors,
                       std::map<std::string, std::string> const& metadata)
{
  cambium::replace_file(path, format_safetensors(tensors, metadata));
}

}  // namespace trainer
