// Rates and Adam against what the originals gave: the cases train.lr and train.adam of the folders in CAMBIUM_GOLDEN.
#include "run/optimizer.hpp"
#include "run/schedule.hpp"

#include <torch/torch.h>

#include "conformance/golden_case.hpp"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <sstream>
#include <string>

namespace fs = std::filesystem;
using namespace trainer;
using conformance::golden_case;

namespace {

poly_schedule schedule_of(golden_case const& c, char const* base)
{
  return {c.param<double>(base), c.param<std::int64_t>("max_iters"), c.param<double>("power"),
          c.param<std::int64_t>("warmup_iters"), c.params.value("warmup_factor", 0.001)};
}

void rates(golden_case& c)
{
  poly_schedule const s = schedule_of(c, "base_lr");
  std::vector<double> out;
  for (double const i : c.read("iter").value) out.push_back(rate_at(s, static_cast<std::int64_t>(i)));
  c.result("lr", out);
}

void adam(golden_case& c)
{
  auto const dtype = c.manifest.at("arrays").at(0).at("dtype") == "float32" ? torch::kFloat32 : torch::kFloat64;
  auto const w0 = c.read("w0"), grads = c.read("grads");
  auto const n = static_cast<std::int64_t>(w0.value.size()), steps = grads.shape.at(0);
  torch::Tensor const w = torch::tensor(w0.value, torch::kFloat64).to(dtype).set_requires_grad(true);
  torch::Tensor const g = torch::tensor(grads.value, torch::kFloat64).view({steps, n}).to(dtype);
  auto const betas = c.param<std::vector<double>>("betas");
  auto o = optimizer::adam({{{w}}}, rates_of(schedule_of(c, "lr")),
                           {betas.at(0), betas.at(1), c.param<double>("eps"), c.param<double>("weight_decay")});
  std::vector<double> out;
  for (std::int64_t i = 0; i < steps; ++i) {
    w.mutable_grad() = g[i].clone();
    o.step();
    torch::Tensor const now = w.detach().to(torch::kFloat64).contiguous();
    out.insert(out.end(), now.data_ptr<double>(), now.data_ptr<double>() + n);
  }
  c.result("w", {steps, n}, out);
}

}  // namespace

int main()
{
  char const* const folders = std::getenv("CAMBIUM_GOLDEN");
  if (folders == nullptr || *folders == '\0') {
    std::puts("skipped: CAMBIUM_GOLDEN names no folder with cases of the originals");
    return 77;
  }
  int cases = 0, failed = 0;
  std::istringstream list(folders);
  for (std::string folder; std::getline(list, folder, ':');)
    for (auto const& [stage, run] : {std::pair{"train.lr", &rates}, std::pair{"train.adam", &adam}}) {
      fs::path const at = fs::path(folder) / "bestie" / stage;
      if (!fs::is_directory(at)) continue;
      for (auto const& entry : fs::directory_iterator(at)) {
        if (!fs::exists(entry.path() / "manifest.json")) continue;
        ++cases;
        try {
          golden_case c(entry.path());
          run(c);
          c.finish();
          std::printf("%s: %s\n", c.name().c_str(), c.faults.empty() ? "as the original" : "DIFFERS");
          for (auto const& fault : c.faults) std::printf("  %s\n", fault.c_str());
          failed += !c.faults.empty();
        } catch (std::exception const& e) {
          std::printf("%s: %s\n", entry.path().c_str(), e.what());
          ++failed;
        }
      }
    }
  if (cases == 0) {
    std::printf("skipped: no case bestie/train.lr or bestie/train.adam in %s\n", folders);
    return 77;
  }
  std::printf("%d cases, %d differ\n", cases, failed);
  return failed == 0 ? 0 : 1;
}
