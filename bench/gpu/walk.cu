// The walk on a device: its schedules, one image and a batch; the original's squared dense matrix and 256 x 69 shifted
// weighted additions in a CUDA graph beside it.

#include <cambium/exec/gpu.cuh>
#include "measure.cuh"

#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>
#include <cambium/walk/random_walk.cuh>

#include <cublas_v2.h>

#include <cmath>

namespace bench {

using namespace cambium;

namespace {

constexpr index_t C = 4, H = 94, W = 125, steps = 256;

struct problem {
  stencil edges = stencil::disc(5);
  grid<float, 4> seeds, weight;
  grid<float, 3> inverse;

  explicit problem(index_t B) : seeds(B, C, H, W), weight(B, edges.size, H, W), inverse(B, H, W)
  {
    cpu const cores;
    for (index_t b = 0; b < B; ++b) {
      auto boundary = make_grid<float>({H, W});
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) {
          double const u = static_cast<double>(x + 3 * b), v = static_cast<double>(y);
          boundary(y, x) = static_cast<float>(std::pow(0.5 + 0.5 * std::sin(u / 7) * std::cos(v / 9), 4));
          for (index_t c = 0; c < C; ++c)
            seeds(b, c, y, x) =
                static_cast<float>(0.5 + 0.5 * std::sin((u + 5 * static_cast<double>(c)) / 11 + v / 13));
        }
      auto const t = make_transition(cores, edges, path_affinity(cores, boundary, edges), {.beta = 10});
      std::copy(t.weight.cells().begin(), t.weight.cells().end(), weight.data() + b * edges.size * H * W);
      std::copy(t.inverse_degree.cells().begin(), t.inverse_degree.cells().end(), inverse.data() + b * H * W);
    }
  }
};

/// The transition matrix in full, row-major: what the original raises to its 256th power.
struct dense_row {
  stencil edges;
  stack_view<float const, device> weight;
  image_view<float const, device> inverse;
  float* matrix;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const n = H * W;
    float* const row = matrix + (y * W + x) * n;
    float const by = inverse(y, x);
    row[y * W + x] = by;
    for (int k = 0; k < edges.size; ++k) {
      index_t const dy = edges.at[k].dy, dx = edges.at[k].dx;
      if (y + dy < H && x + dx >= 0 && x + dx < W) row[(y + dy) * W + x + dx] = by * weight(k, y, x);
      if (y - dy >= 0 && x - dx >= 0 && x - dx < W) row[(y - dy) * W + x - dx] = by * weight(k, y - dy, x - dx);
    }
  }
};

/// to += weight * from, shifted: one of the 69 operations of a step in a tensor library.
struct shifted_add {
  stack_view<float const, device> from;
  stack_view<float, device> to;
  stack_view<float const, device> weight;
  index_t k, dy, dx;  ///< forward; the edge belongs to the cell itself
  bool backward;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    index_t const v = backward ? y - dy : y + dy, u = backward ? x - dx : x + dx;
    if (v < 0 || v >= H || u < 0 || u >= W) return;
    to(c, y, x) += (backward ? weight(k, v, u) : weight(k, y, x)) * from(c, v, u);
  }
};
struct take_self {
  stack_view<float const, device> from;
  stack_view<float, device> to;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const { to(c, y, x) = from(c, y, x); }
};
struct divide {
  stack_view<float, device> to;
  image_view<float const, device> inverse;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const { to(c, y, x) *= inverse(y, x); }
};

void expects_cublas(cublasStatus_t status)
{
  if (status != CUBLAS_STATUS_SUCCESS) throw gpu_error("cuBLAS: status " + std::to_string(static_cast<int>(status)));
}

double dense_ms(gpu const& where, problem const& p)
{
  auto const weight = to_device(where, p.weight);
  auto const inverse = to_device(where, p.inverse);
  auto const seeds = to_device(where, p.seeds);
  auto out = make_grid<float>(where, {C, H, W});
  int const n = static_cast<int>(H * W);
  std::size_t const size = static_cast<std::size_t>(n) * static_cast<std::size_t>(n) * sizeof(float);
  device_bytes a(where, size), b(where, size);
  cublasHandle_t blas = nullptr;
  expects_cublas(cublasCreate(&blas));
  expects_cublas(cublasSetStream(blas, where.stream));
  float const one = 1, zero = 0;
  double const ms = median_ms(
      where,
      [&] {
        throw_if_failed(cudaMemsetAsync(a.data(), 0, size, where.stream), "memset");
        auto* from = static_cast<float*>(a.data());
        auto* to = static_cast<float*>(b.data());
        for_each_cell(where, {1, H, W}, dense_row{p.edges, weight.view()[0], inverse.view()[0], from});
        for (int i = 0; i < 8; ++i) {
          expects_cublas(cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, from, n, from, n, &zero, to, n));
          std::swap(from, to);
        }
        // column-major: the matrix is its transpose, so out^T = seeds^T T^T is seeds times the rows
        expects_cublas(cublasSgemm(blas, CUBLAS_OP_T, CUBLAS_OP_N, n, static_cast<int>(C), n, &one, from, n,
                                   seeds.view().data, n, &zero, out.view().data, n));
      },
      3);
  cublasDestroy(blas);
  return ms;
}

double shifted_ms(problem const& p)
{
  cudaStream_t stream = nullptr;
  throw_if_failed(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  double ms = 0;
  {
    gpu const where{stream};
    auto const weight = to_device(where, p.weight);
    auto const inverse = to_device(where, p.inverse);
    auto a = to_device(where, p.seeds);
    auto b = make_grid<float>(where, {index_t{1}, C, H, W});
    cudaGraph_t graph = nullptr;
    throw_if_failed(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "capture");
    stack_view<float, device> from = a.view()[0], to = b.view()[0];
    for (index_t s = 0; s < steps; ++s) {
      for_each_cell(where, to.extent, take_self{from, to});
      for (int k = 0; k < p.edges.size; ++k)
        for (bool const backward : {false, true})
          for_each_cell(where, to.extent,
                        shifted_add{from, to, weight.view()[0], k, p.edges.at[k].dy, p.edges.at[k].dx, backward});
      for_each_cell(where, to.extent, divide{to, inverse.view()[0]});
      std::swap(from, to);
    }
    throw_if_failed(cudaStreamEndCapture(stream, &graph), "capture");
    cudaGraphExec_t whole = nullptr;
    throw_if_failed(cudaGraphInstantiate(&whole, graph, 0), "graph");
    ms = median_ms(where, [&] { throw_if_failed(cudaGraphLaunch(whole, stream), "graph"); }, 5);
    cudaGraphExecDestroy(whole);
    cudaGraphDestroy(graph);
  }
  cudaStreamDestroy(stream);
  return ms;
}

}  // namespace

void walk(card const& c)
{
  gpu const where;
  double const gflop = 2.0 * 69 * C * H * W * steps * 1e-9;
  auto const run = [&](char const* name, index_t B, walk_schedule schedule, double tolerance = 0) {
    problem const p(B);
    auto const seeds = to_device(where, p.seeds), weight = to_device(where, p.weight);
    auto const inverse = to_device(where, p.inverse);
    auto out = make_grid<float>(where, {B, C, H, W});
    try {
      walk_scratch<float, gpu> scratch(where, B, C, H, W, p.edges, tolerance, schedule);
      double const ms = median_ms(where, [&] {
        random_walk_into<float>(where, seeds.view(), {p.edges, weight.view(), inverse.view()},
                                {.steps = steps, .tolerance = tolerance}, out.view(), scratch);
      });
      report(c, name, ms, static_cast<double>(B), gflop * static_cast<double>(B), 0);
    } catch (std::exception const& e) {
      std::printf("%-44s %s\n", name, e.what());
    }
  };
  run("walk 94x125x4, one image, automatic", 1, walk_schedule::automatic);
  run("walk 94x125x4, one image, grid", 1, walk_schedule::grid);
  run("walk 94x125x4, one image, cluster", 1, walk_schedule::cluster);
  run("walk 94x125x4, one image, a launch a step", 1, walk_schedule::each_step);
  run("walk 94x125x4, 64 images, automatic", 64, walk_schedule::automatic);
  run("walk 94x125x4, 64 images, a launch a step", 64, walk_schedule::each_step);
  run("walk 94x125x4, one image, tolerance 3e-5", 1, walk_schedule::automatic, 3e-5);
  run("walk 94x125x4, 64 images, tolerance 3e-5", 64, walk_schedule::automatic, 3e-5);
  problem const p(1);
  report(c, "baseline: dense matrix squared 8 times, cuBLAS", dense_ms(where, p), 1,
         8 * 2.0 * std::pow(static_cast<double>(H * W), 3) * 1e-9, 0);
  report(c, "baseline: 256 x 69 shifted adds, CUDA graph", shifted_ms(p), 1, gflop, 0);
}

}  // namespace bench
