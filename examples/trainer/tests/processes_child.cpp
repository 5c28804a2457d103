// One of the processes that processes_test starts: meets the others, does a task, writes what it saw to OUT.RANK.
//
//   processes_child TASK OUT [DIES_RANK DIES_AT]      rank DIES_RANK kills itself after step DIES_AT

#include "data/scenes.hpp"
#include "method/bestie.hpp"
#include "method/boxes.hpp"
#include "method/instances.hpp"
#include "method/irnet.hpp"
#include "network/batch_norm.hpp"
#include "network/dropout.hpp"
#include "network/module_weights.hpp"
#include "network/panoptic_deeplab.hpp"
#include "network/resnet.hpp"
#include "network/safetensors.hpp"
#include "network/uncertain_head.hpp"
#include "process/processes.hpp"
#include "run/seed.hpp"

#include <torch/torch.h>

#include <cambium/core/error.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include <unistd.h>

using namespace trainer;
using cambium::index_t;

namespace {

constexpr index_t side = 32;
constexpr std::int64_t steps = 50;
/// Of Adam. At rates of 1e-3 and more the losses of two processes leave those of one after 10 to 20 steps; whether that
/// is more than amplified rounding was not measured.
constexpr double quiet_rate = 1e-4;

std::string out;
int dies_rank = -1, dies_at = -1;

scenes few(std::size_t count)
{
  scene_options o;
  o.seed = 1, o.count = count, o.height = o.width = side, o.most = 2;
  return scenes(o);
}

/// Writes each step's losses, exactly, and kills the process where it is told to.
training_record listening(std::string const& checkpoint_every = "")
{
  training_record record;
  auto const file =
      std::shared_ptr<std::FILE>(std::fopen((out + "." + std::to_string(processes::rank())).c_str(), "a"), std::fclose);
  record.each = [file](journal_entry const& e) {
    std::fprintf(file.get(), "%lld", static_cast<long long>(e.step));
    for (auto const& [name, value] : e.losses) std::fprintf(file.get(), " %s %.17g", name.c_str(), value);
    std::fprintf(file.get(), "\n");
    std::fflush(file.get());
    if (processes::rank() == dies_rank && e.step == dies_at) ::kill(::getpid(), SIGKILL);
  };
  if (!checkpoint_every.empty()) {
    record.log = out + "_log";
    record.checkpoint = out + "_log/state.ckpt";
    record.checkpoint_every = std::stoll(checkpoint_every);
    record.quiet = true;
  }
  return record;
}

void save(torch::nn::Module const& network)
{
  save_weights(network, out + ".weights." + std::to_string(processes::rank()));
}

irnet_training_options quick_irnet()
{
  auto how = small_irnet();
  how.backbone.width = 4;
  how.cam_batch = how.field_batch = 8, how.cam_epochs = how.field_epochs = 25;
  how.cam_shortest = 28, how.cam_longest = 40, how.cam_crop = side, how.field_crop = side;
  how.loss.radius = 3;
  how.threads = 1, how.workers = 1;
  how.head_width = 0.25;
  how.field_rate = quiet_rate;
  return how;
}

void cam()
{
  auto const set = few(16);
  auto const how = quick_irnet();
  seed_everything(1);
  auto const network = make_cam_network(set.class_names().size(), how);
  train_cam(set, *network, how, listening());
}

void field()
{
  auto const set = few(17);  // an epoch leaves one
  auto const how = quick_irnet();
  seed_everything(1);
  auto const network = make_field_network(how);
  train_field(
      set,
      [&](std::size_t i) {
        auto labels = set.truth(i);
        for (auto& v : labels.label.cells())
          if (v > 0) v = labels.found[static_cast<std::size_t>(v - 1)].category + 1;
        return std::move(labels.label);
      },
      *network, how, listening());
}

void peaks()
{
  auto const set = few(13);  // batches of 4, 4, 4 and 1
  auto how = small_peak_classifier(side);
  how.epochs = 13, how.plain_epochs = 2, how.batch = 4;
  seed_everything(1);
  auto const network = std::make_shared<vgg_pam>(6, small_vgg_pam(4, 0.7));
  train_peak_classifier(set, *network, how, listening());
}

void bestie(cambium::supervision cues)
{
  auto const set = few(16);
  auto how = small_bestie(steps, side);
  how.batch = 8, how.threads = 1, how.rate = quiet_rate, how.cues = cues;
  how.refine.labels.threshold = 0.02f, how.refine.smallest = 4, how.refine.groups.kernel = 7,
  how.refine.groups.apart = 8;
  seed_everything(1);
  resnet_options body;
  body.strides = {1, 2, 2, 1};
  auto const network = small_panoptic_deeplab(4, 6, small_resnet(4, body));
  train_bestie(set, spoiled_truth(set), given_cues(set), *network, how, listening());
}

void instances(std::string const& every)
{
  auto const set = few(16);
  instance_training o;
  o.steps = steps, o.batch = 8, o.rate = quiet_rate, o.warm_up = 5, o.hardest = 0.3, o.sigma = 3, o.workers = 1,
  o.threads = 1;
  o.augmentation.long_side = side + 1, o.augmentation.scales = {1}, o.augmentation.crop = side;
  torch::manual_seed(5);
  auto const network = small_panoptic_deeplab(4, 6);
  train_instances(set, *network, o, listening(every));
  save(*network);
}

void boxes(box_supervision_kind kind, bool differs = false)
{
  auto const set = few(24);
  boxes_options o;
  o.steps = steps, o.batch = 8, o.width = 4, o.warm_up = 0.5, o.exact_share = 0.25, o.where.threads = 1;
  o.rate = quiet_rate;
  if (differs && processes::rank() == 1) o.batch = 4;
  auto const samples = read_samples(set, choose_exact(set.size(), o.exact_share, o.seed), o.several);
  auto const trained = train_with(kind, samples, 6, o, listening());
}

/// A share of 7 samples through a normalisation, and back.
void norm()
{
  torch::manual_seed(3);
  auto const layer = make_batch_norm(5, {batch_norm::live, 0.3});
  auto const x = torch::randn({7, 5, 3, 4}) * torch::arange(1, 6).view({1, 5, 1, 1}) + 40;
  auto const slope = torch::randn({7, 5, 3, 4});
  torch::NoGradGuard off;
  layer->parameters()[0].copy_(torch::randn({5}));
  layer->parameters()[1].copy_(torch::randn({5}));
  at::AutoGradMode const on(true);
  auto const mine = processes::share_of(7);
  named_tensors got;
  for (bool const last : {false, true}) {
    auto own = x.slice(0, mine.begin, mine.end).clone();
    if (last) own = own.contiguous(torch::MemoryFormat::ChannelsLast);
    own.requires_grad_();
    layer->zero_grad();
    auto const y = layer->forward(own);
    (y * slope.slice(0, mine.begin, mine.end)).sum().backward();
    std::string const name = last ? "last." : "first.";
    got[name + "y"] = y.detach().contiguous(), got[name + "x"] = own.grad().contiguous();
    for (std::size_t i : {0u, 1u}) {
      auto g = layer->parameters()[i].grad().clone();
      processes::sum({g});
      got[name + "p" + std::to_string(i)] = g;
    }
  }
  for (auto const& b : layer->named_buffers()) got[b.key()] = b.value();
  write_safetensors(out + "." + std::to_string(processes::rank()), got, {});
}

/// Dropout of 5 samples: which values it keeps.
void dropout()
{
  torch::manual_seed(11);
  auto const layer = std::make_shared<batch_dropout>(0.5);
  auto const mine = processes::share_of(5);
  named_tensors got;
  got["rows"] = layer->forward(torch::ones({mine.size(), 3, 4, 4}));
  got["last"] =
      layer->forward(torch::ones({mine.size(), 3, 4, 4}).contiguous(torch::MemoryFormat::ChannelsLast)).contiguous();
  write_safetensors(out + "." + std::to_string(processes::rank()), got, {});
}

void exchange()
{
  named_tensors got;
  auto const mine = processes::share_of(5);
  auto const all = torch::arange(10, torch::kFloat).view({5, 2});
  auto own = all.slice(0, mine.begin, mine.end).clone().requires_grad_();
  auto const joined = processes::gathered(own, 5);
  (joined * joined).sum().backward();
  got["joined"] = joined.detach(), got["gradient"] = own.grad();
  got["labels"] = processes::gathered(torch::arange(mine.begin, mine.end, torch::kLong), 5);
  auto value = torch::full({}, 1.0 + processes::rank()).requires_grad_();  // of rank + 1 pixels
  auto const mean = processes::mean(value, 1.0 + processes::rank());
  mean.backward();
  got["mean"] = mean.detach(), got["part"] = value.grad();
  got["nothing"] = processes::mean(torch::ones({}), 0);
  std::vector<torch::Tensor> many;  // more than one message of 32 MiB
  for (int i = 0; i < 5; ++i) many.push_back(torch::full({3000000}, static_cast<float>(i + processes::rank())));
  processes::sum(many);
  for (int i = 0; i < 5; ++i)
    got["sum" + std::to_string(i)] =
        torch::stack({many[static_cast<std::size_t>(i)].min(), many[static_cast<std::size_t>(i)].max()});
  auto const words = processes::from_first(std::string(processes::first() ? "of rank 0" : "of another"));
  got["words"] = torch::tensor(static_cast<std::int64_t>(words == "of rank 0"));
  int alone = 0;
  processes::first_alone([&] { alone = 1; });
  got["alone"] = torch::tensor(alone);
  write_safetensors(out + "." + std::to_string(processes::rank()), got, {});
}

void do_task(std::string const& task)
{
  if (task == "cam") return cam();
  if (task == "field") return field();
  if (task == "peaks") return peaks();
  if (task == "bestie") return bestie(cambium::supervision::image);
  if (task == "bestie_points") return bestie(cambium::supervision::point);
  if (task == "instances") return instances("");
  if (task == "resumes") return instances("10");
  if (task == "uncertainty") return boxes(box_supervision_kind::uncertainty);
  if (task == "boxinst") return boxes(box_supervision_kind::boxinst);
  if (task == "boxes_differ") return boxes(box_supervision_kind::uncertainty, true);
  if (task == "norm") return norm();
  if (task == "dropout") return dropout();
  if (task == "exchange") return exchange();
  if (task == "loads") {  // no exchange goes on while one dies
    processes::first_alone([] {});
    if (processes::rank() == dies_rank) ::kill(::getpid(), SIGKILL);
    std::this_thread::sleep_for(std::chrono::seconds(60));
  }
  if (task == "stops") {  // as a machine that vanishes: its lines stay and are silent
    processes::first_alone([] {});
    if (processes::rank() == dies_rank) ::kill(::getpid(), SIGSTOP);
    processes::first_alone([] {});
  }
  if (task == "fails") {
    if (processes::rank() == dies_rank) throw cambium::io_error("photograph.jpg: cut off");
    processes::first_alone([] {});
  }
  if (task == "differs") processes::expects_same(processes::rank() == 1 ? "16 images" : "17 images", "training");
}

}  // namespace

int main(int count, char** arguments)
{
  if (count < 3) return 2;
  out = arguments[2];
  if (count >= 5) dies_rank = std::atoi(arguments[3]), dies_at = std::atoi(arguments[4]);
  at::set_num_threads(1);
  try {
    processes::join(processes::place_of_this_process());
    do_task(arguments[1]);
    processes::leave(0);
    return 0;
  } catch (std::exception const& e) {
    processes::fail(e.what());
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
