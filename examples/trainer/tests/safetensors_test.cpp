#include "network/module_weights.hpp"

#include <torch/torch.h>

#include <cambium/core/error.hpp>

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "support/temporary.hpp"

#include "support/catch.hpp"

using namespace trainer;
using cambium::bytes;
using cambium::io_error;
using cambium::precondition_error;

namespace {

/// A file as the format's page describes it, put together by hand.
bytes file_of(std::string const& header, std::string const& data)
{
  bytes out;
  for (std::size_t i = 0; i < 8; ++i) out.push_back(static_cast<unsigned char>(header.size() >> (8 * i)));
  out.insert(out.end(), header.begin(), header.end());
  out.insert(out.end(), data.begin(), data.end());
  return out;
}

/// The message of a refusal; "" if the file was taken.
std::string refused(bytes const& file)
{
  return support::refusal([&] { static_cast<void>(parse_safetensors(file, "w.safetensors")); });
}
std::string refused(std::string const& header, std::string const& data = "") { return refused(file_of(header, data)); }

bool says(std::string const& message, std::string const& words)
{
  UNSCOPED_INFO("message: " << message);
  return message.rfind("w.safetensors: ", 0) == 0 && message.find(words) != std::string::npos;
}

/// One F32 tensor of these header entries and 8 bytes of data.
std::string with(std::string const& entries) { return refused("{\"t\":{" + entries + "}}", std::string(8, '\0')); }

struct small_net : torch::nn::Module {
  small_net()
  {
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 4, 1).bias(false)));
    norm = register_module("norm", torch::nn::BatchNorm2d(4));
  }
  torch::nn::Conv2d conv{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
};

named_tensors copies_of(torch::nn::Module const& m)
{
  named_tensors out;
  for (auto const& [name, t] : tensors_of(m)) out[name] = t.detach().clone();
  return out;
}

std::string misfit_of(torch::nn::Module& m, named_tensors const& t, name_map const& names = {})
{
  return support::refusal([&] { load_weights(m, t, names, "w.safetensors"); });
}

bool same(named_tensors const& a, named_tensors const& b)
{
  if (a.size() != b.size()) return false;
  for (auto const& [name, t] : a)
    if (b.count(name) == 0 || t.dtype() != b.at(name).dtype() || !torch::equal(t, b.at(name))) return false;
  return true;
}

}  // namespace

TEST_CASE("A file written by hand is read as the format's page says", "[reference]")
{
  std::string const header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[2,10]},)"
      R"("a":{"dtype":"F16","shape":[],"data_offsets":[0,2]},"e":{"dtype":"I64","shape":[0,3],"data_offsets":[10,10]},)"
      R"("i":{"dtype":"I32","shape":[1],"data_offsets":[10,14]},"h":{"dtype":"BF16","shape":[1],"data_offsets":[14,16]},)"
      R"("o":{"dtype":"BOOL","shape":[2],"data_offsets":[16,18]},"u":{"dtype":"U8","shape":[1],"data_offsets":[18,19]},)"
      R"("s":{"dtype":"I8","shape":[1],"data_offsets":[19,20]}}   )";
  std::string const data(
      "\x00\x3E"                          // half 1.5
      "\x00\x00\x80\x3F\x00\x00\x20\xC1"  // 1, -10
      "\xFE\xFF\xFF\xFF"                  // -2
      "\x40\xC0"                          // -3 in bfloat16
      "\x01\x00\xC8\x80",                 // true, false, 200, -128
      20);
  auto const file = parse_safetensors(file_of(header, data), "w");
  REQUIRE(file.tensors.size() == 8);
  CHECK(file.metadata == std::map<std::string, std::string>{{"format", "pt"}});
  auto const& t = file.tensors;
  CHECK(t.at("a").dim() == 0);
  CHECK(t.at("a").item<float>() == 1.5F);
  CHECK(t.at("a").scalar_type() == torch::kFloat16);
  CHECK(t.at("b").sizes() == torch::IntArrayRef{1, 2});
  CHECK(t.at("b")[0][0].item<float>() == 1.F);
  CHECK(t.at("b")[0][1].item<float>() == -10.F);
  CHECK(t.at("e").sizes() == torch::IntArrayRef{0, 3});
  CHECK(t.at("i").item<int>() == -2);
  CHECK(t.at("h").item<float>() == -3.F);
  CHECK(t.at("o")[0].item<bool>());
  CHECK_FALSE(t.at("o")[1].item<bool>());
  CHECK(t.at("u").item<int>() == 200);
  CHECK(t.at("s").item<int>() == -128);
}

TEST_CASE("What is written is read again, bit for bit", "[property]")
{
  torch::manual_seed(1);
  named_tensors t;
  auto const random = torch::randn({3, 5, 7});
  for (auto const type : {torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kBFloat16})
    t["f." + std::string(c10::toString(type))] = random.to(type);
  for (auto const type : {torch::kInt64, torch::kInt32, torch::kInt16, torch::kInt8, torch::kUInt8})
    t["i." + std::string(c10::toString(type))] = torch::randint(0, 127, {11}).to(type);
  t["bool"] = random > 0;
  t["turned"] = random.permute({2, 0, 1});
  t["scalar"] = torch::tensor(2.5);
  t["empty"] = torch::empty({0, 4});
  t["of \"odd\" name \xC3\xA9"] = torch::ones({1});
  std::map<std::string, std::string> const metadata{{"classes", "cat\ndog"}, {"", "nothing"}};
  auto const file = format_safetensors(t, metadata);
  auto const back = parse_safetensors(file, "w");
  CHECK(same(back.tensors, t));
  CHECK(back.metadata == metadata);
  CHECK(format_safetensors(back.tensors, back.metadata) == file);
  CHECK(file[0] % 8 == 0);  // the header is padded

  support::temporary_folder const folder;
  write_safetensors(folder / "new/w.safetensors", t, metadata);
  CHECK(cambium::read_file(folder / "new/w.safetensors") == file);
  CHECK(same(read_safetensors(folder / "new/w.safetensors").tensors, t));
  auto const none = parse_safetensors(format_safetensors({}), "w");
  CHECK(none.tensors.empty());
}

TEST_CASE("A file cut or changed anywhere is refused or read, but never beyond its end", "[property]")
{
  auto const file =
      format_safetensors({{"a", torch::ones({2, 2})}, {"b", torch::zeros({3}, torch::kUInt8)}}, {{"k", "v"}});
  for (std::size_t n = 0; n < file.size(); ++n) {
    INFO("cut to " << n);
    CHECK(says(refused(bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(n))), ""));
  }
  auto longer = file;
  longer.push_back(0);
  CHECK(says(refused(longer), "1 bytes behind its last tensor"));
  std::size_t taken = 0;
  for (std::size_t at = 0; at < file.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      auto changed = file;
      changed[at] = static_cast<unsigned char>(changed[at] ^ (1 << bit));
      auto const message = refused(changed);  // anything but io_error would end the test
      if (message.empty()) ++taken;
    }
  CHECK(taken >= 8 * (4 * 4 + 3));  // the values themselves are free
}

TEST_CASE("Damaged files are named and say what is wrong", "[errors]")
{
  CHECK(says(refused(bytes{}), "is empty"));
  CHECK(says(refused(bytes{1, 2, 3}), "truncated"));
  CHECK(says(refused(bytes{'P', 'K', 3, 4, 0, 0, 0, 0, 0, 0}), "torch.save"));
  CHECK(says(refused(bytes(64, 0xFF)), "claims a header of 18446744073709551615 bytes"));
  CHECK(says(refused(bytes{0x80, 0x02, 0x8A}), "torch.save"));
  CHECK(says(refused(""), "does not begin with '{'"));
  CHECK(says(refused("[]"), "does not begin with '{'"));
  CHECK(says(refused("{\"a\":"), "damaged header"));
  CHECK(says(refused("{} x"), "damaged header"));
  CHECK(says(refused("{\"\xFF\":1}"), "damaged header"));
  CHECK(says(refused("{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}"), "nested"));
  CHECK(says(refused("{\"a\":3}"), "tensor \"a\" is not an object"));
  CHECK(says(refused(R"({"__metadata__":{"k":3}})"), "\"k\" that is not a string"));
  CHECK(says(refused(R"({"__metadata__":[]})"), "__metadata__"));
  CHECK(says(refused("{}", "abc"), "3 bytes behind"));

  CHECK(with(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])").empty());
  CHECK(says(with(R"("shape":[2],"data_offsets":[0,8])"), "tensor \"t\" lacks its dtype"));
  CHECK(says(with(R"("dtype":"F32","data_offsets":[0,8])"), "lacks its shape"));
  CHECK(says(with(R"("dtype":"F32","shape":[2])"), "lacks its data_offsets"));
  CHECK(says(with(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1)"), "unknown entry \"more\""));
  CHECK(says(with(R"("dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8])"), "two entries \"dtype\""));
  CHECK(says(with(R"("dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8])"), "of type \"F8_E4M3\""));
  CHECK(says(with(R"("dtype":32,"shape":[2],"data_offsets":[0,8])"), "not a string"));
  CHECK(says(with(R"("dtype":"F32","shape":2,"data_offsets":[0,8])"), "not a list"));
  CHECK(says(with(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), "whole numbers"));
  CHECK(says(with(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), "whole numbers"));
  CHECK(says(with(R"("dtype":"F32","shape":["2"],"data_offsets":[0,8])"), "whole numbers"));
  CHECK(says(with(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), "F32 [3] needs 12"));
  CHECK(says(with(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8])"), "2^48"));
  CHECK(says(with(R"("dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0])"), "2^48"));
  CHECK(says(with(R"("dtype":"F32","shape":[99999999999999999999999],"data_offsets":[0,8])"), "whole numbers"));
  CHECK(says(with(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2],"data_offsets":[0,8])"), "17 axes"));
  CHECK(says(with(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "ends before it begins"));
  CHECK(says(with(R"("dtype":"F32","shape":[2],"data_offsets":[4,12])"), "ends at byte 12, but 8 bytes are there"));
  CHECK(says(with(R"("dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615])"), "18446744073709551615"));
  CHECK(says(with(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), "two whole numbers"));
  CHECK(says(with(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), "4 bytes before tensor \"t\" belong to none"));
  CHECK(says(with(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])"), "4 bytes behind"));

  std::string const one = R"({"dtype":"U8","shape":[2],"data_offsets":[)";
  CHECK(says(refused("{\"a\":" + one + "0,2]},\"a\":" + one + "2,4]}}", "abcd"), "two entries \"a\""));
  CHECK(says(refused("{\"a\":" + one + "0,2]},\"b\":" + one + "1,3]}}", "abc"), "\"a\" and \"b\" overlap"));
  CHECK(says(refused("{\"a\":" + one + "0,2]},\"b\":" + one + "0,2]}}", "ab"), "overlap"));
  CHECK(says(refused("{\"a\":" + one + "0,2]},\"b\":" + one + "3,5]}}", "abcde"), "1 bytes before tensor \"b\""));
  CHECK(says(refused("{\"\":" + one + "0,2]}}", "ab"), "has no name"));
  CHECK(says(refused("{\"" + std::string(5000, 'x') + "\":" + one + "0,2]}}", "ab"), "a name of 5000 bytes"));
  CHECK(says(refused(R"({"o":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", std::string("\x01\x02")),
             "tensor \"o\" holds a boolean of 2 at place 1"));
  CHECK(says(refused("{\"a\\u001b[2J\":3}"), "\\u001b"));  // names cannot paint on a terminal

  support::temporary_folder const folder;
  CAMBIUM_THROWS_SAYING(static_cast<void>(read_safetensors(folder / "no.safetensors")), io_error, "no.safetensors");
}

TEST_CASE("What cannot be written is refused before a file is touched", "[errors]")
{
  auto const write = [](named_tensors const& t, std::map<std::string, std::string> const& m = {}) {
    static_cast<void>(format_safetensors(t, m));
  };
  auto const one = torch::ones({1});
  CHECK_THROWS_AS(write({{"", one}}), precondition_error);
  CHECK_THROWS_AS(write({{"__metadata__", one}}), precondition_error);
  CHECK_THROWS_AS(write({{"a", torch::Tensor()}}), precondition_error);
  CHECK_THROWS_AS(write({{"a", one.to_sparse()}}), precondition_error);
  CHECK_THROWS_AS(write({{"a", one.to(torch::kComplexFloat)}}), precondition_error);
  CHECK_THROWS_AS(write({{"\xFF", one}}), precondition_error);
  CHECK_THROWS_AS(write({{"a", one}}, {{"k", "\xFF"}}), precondition_error);
}

TEST_CASE("A module's weights go to a file and come back", "[property]")
{
  support::temporary_folder const folder;
  torch::manual_seed(3);
  small_net first, second;
  first.norm->running_mean.fill_(4);
  save_weights(first, folder / "w.safetensors", {{"epoch", "7"}});
  REQUIRE_FALSE(same(copies_of(first), copies_of(second)));
  auto const metadata = load_weights(second, folder / "w.safetensors");
  CHECK(metadata.at("epoch") == "7");
  CHECK(same(copies_of(first), copies_of(second)));
  CHECK(second.conv->weight.requires_grad());
  CHECK(tensors_of(first).count("norm.num_batches_tracked") == 1);
}

TEST_CASE("Weights of another training are not taken for one's own", "[errors]")
{
  support::temporary_folder const tmp;
  torch::nn::Linear const layer(2, 3);
  CHECK(!made_by("steps 10", tmp / "w.safetensors"));
  save_weights(*layer, tmp / "w.safetensors", {{"recipe", "steps 10"}});
  CHECK(made_by("steps 10", tmp / "w.safetensors"));
  CAMBIUM_THROWS_SAYING((void)made_by("steps 20", tmp / "w.safetensors"), cambium::io_error,
                        "made with other settings (steps 10; now steps 20)");
  // what was learned from is recorded since; files without it are taken for what they would be
  std::string const one = " contents 0123456789abcdef", two = " contents 0123456789abcdee";
  CHECK(made_by("steps 10" + one, tmp / "w.safetensors"));
  save_weights(*layer, tmp / "w.safetensors", {{"recipe", "from 'a'" + one + " steps 10" + one}});
  CHECK(made_by("from 'a'" + one + " steps 10" + one, tmp / "w.safetensors"));
  CAMBIUM_THROWS_SAYING((void)made_by("from 'a'" + one + " steps 10" + two, tmp / "w.safetensors"), cambium::io_error,
                        "(the photographs, their labels or the first weights were others)");
  CAMBIUM_THROWS_SAYING((void)made_by("from 'a'" + one + " steps 11" + two, tmp / "w.safetensors"), cambium::io_error,
                        "(from 'a' steps 10; now from 'a' steps 11)");
  save_weights(*layer, tmp / "w.safetensors");
  CAMBIUM_THROWS_SAYING((void)made_by("steps 10", tmp / "w.safetensors"), cambium::io_error,
                        "(none are said; now steps 10)");
}

TEST_CASE("Names of a file become those of the module", "[property]")
{
  small_net first, second;
  named_tensors file;
  for (auto const& [name, t] : copies_of(first))
    file["net.module." + name] = t.is_floating_point() ? t.to(torch::kFloat64) : t;
  file["head.weight"] = torch::ones({1});
  file["net.module.fc.weight"] = torch::ones({1});
  name_map const names{"net.", {{"^module\\.", ""}}, {"fc."}, {}};
  CHECK(misfit_of(second, file, names).empty());
  CHECK(same(copies_of(first), copies_of(second)));

  file.erase("net.module.norm.num_batches_tracked");  // of before 0.4.1
  CHECK(misfit_of(second, file, names).empty());
  file.erase("net.module.norm.weight");
  auto partly = names;
  CHECK(misfit_of(second, file, partly).find("\"norm.weight\" F32 [4] is missing") != std::string::npos);
  partly.allowed_missing = {"norm."};
  CHECK(misfit_of(second, file, partly).empty());

  name_map groups;
  groups.renames = {{"^layer(\\d)_(\\w+)$", "conv.$2"}};
  groups.allowed_missing = {"norm."};
  CHECK(misfit_of(second, {{"layer3_weight", torch::full({4, 3, 1, 1}, 9.F)}}, groups).empty());
  CHECK(second.conv->weight.min().item<float>() == 9.F);
  groups.renames = {{"(", ""}};
  CHECK_THROWS_AS(misfit_of(second, {}, groups), precondition_error);
}

TEST_CASE("Every tensor that does not fit is named at once, and nothing is changed", "[errors]")
{
  small_net net;
  auto const before = copies_of(net);
  auto file = copies_of(net);
  for (auto& [name, t] : file)
    if (t.is_floating_point()) t += 1;
  file.erase("norm.bias");
  file["extra"] = torch::ones({2});
  file["conv.weight"] = torch::ones({4, 3, 3, 3});
  file["norm.weight"] = torch::ones({4}, torch::kInt32);
  file["norm.running_var"][2] = std::numeric_limits<float>::quiet_NaN();
  file["norm.running_mean"] = torch::full({4}, 1e300, torch::kFloat64);
  file["norm.num_batches_tracked"] = torch::tensor(2.0);
  std::string const message = misfit_of(net, file);
  CHECK(message.rfind("w.safetensors: does not fit the network:", 0) == 0);
  for (std::string const words :
       {"\"norm.bias\" F32 [4] is missing", "\"extra\" F32 [2] is superfluous",
        "\"conv.weight\" is F32 [4,3,3,3], the network's is F32 [4,3,1,1]",
        "\"norm.weight\" is I32 [4], which cannot become F32 [4]",
        "\"norm.running_var\" holds values that are not finite", "\"norm.running_mean\" holds values beyond F32",
        "\"norm.num_batches_tracked\" is F32 [], which cannot become I64 []"}) {
    INFO(message);
    CHECK(message.find(words) != std::string::npos);
  }
  CHECK(same(copies_of(net), before));

  auto twice = before;
  twice["x.conv.weight"] = before.at("conv.weight");
  name_map both;
  both.renames = {{"^x\\.", ""}};
  CHECK(misfit_of(net, twice, both).find("have become the same") != std::string::npos);
}
