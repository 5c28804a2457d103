#pragma once
// Plain C++: a .cpp file may have a gpu policy and device memory. Only the loops of exec/gpu.cuh need nvcc.

#include <cambium/core/error.hpp>
#include <cambium/core/memory.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <type_traits>

namespace cambium {

/// Throw gpu_error("what: the runtime's text") unless the call succeeded. The runtime would report the failure again at
/// the next launch, so this function clears it.
inline void throw_if_failed(cudaError_t code, char const* what)
{
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw gpu_error(std::string(what) + ": " + cudaGetErrorString(code));
}

/// A source of device memory. Derive from it to use another pool, for example a network's.
class device_resource {
 public:
  virtual ~device_resource() = default;
  /// @return memory for work that is enqueued on `stream` from now on; aligned to 256 bytes
  /// @throws gpu_error
  virtual void* allocate(std::size_t bytes, cudaStream_t stream) = 0;
  /// The memory may be reused after all work that is enqueued on `stream`.
  virtual void release(void* memory, std::size_t bytes, cudaStream_t stream) noexcept = 0;
};

/// A stream-ordered pool on each device. Neither call waits for the device. Freed memory stays in the pool. The
/// device's default pool would return it to the system at every wait for a stream.
class stream_ordered_resource final : public device_resource {
 public:
  void* allocate(std::size_t bytes, cudaStream_t stream) override
  {
    void* out = nullptr;
    throw_if_failed(cudaMallocFromPoolAsync(&out, bytes, pool(), stream), "device allocation");
    return out;
  }
  void release(void* memory, std::size_t, cudaStream_t stream) noexcept override
  {
    if (cudaFreeAsync(memory, stream) != cudaSuccess) static_cast<void>(cudaGetLastError());
  }

 private:
  static constexpr int most_devices = 64;

  cudaMemPool_t pool()
  {
    int id = 0;
    throw_if_failed(cudaGetDevice(&id), "device");
    expects(id < most_devices, "stream_ordered_resource: device ", id, " of at most ", most_devices);
    std::call_once(made_[id], [&] {
      cudaMemPoolProps how{};
      how.allocType = cudaMemAllocationTypePinned;
      how.location.type = cudaMemLocationTypeDevice;
      how.location.id = id;
      throw_if_failed(cudaMemPoolCreate(&pool_[id], &how), "device pool");
      std::uint64_t everything = ~std::uint64_t{0};
      throw_if_failed(cudaMemPoolSetAttribute(pool_[id], cudaMemPoolAttrReleaseThreshold, &everything), "device pool");
    });
    return pool_[id];
  }

  cudaMemPool_t pool_[most_devices]{};  // kept until the process ends: grids may outlive this object
  std::once_flag made_[most_devices];
};

/// The resource of a policy without its own.
inline device_resource& default_resource()
{
  static stream_ordered_resource resource;
  return resource;
}

/// Run on the current CUDA device, ordered after prior work on `stream`.
struct gpu {
  using memory = device;
  cudaStream_t stream = nullptr;        ///< not owned; must outlive the enqueued work and the grids made with it
  device_resource* resource = nullptr;  ///< not owned, may be null: default_resource()
  bool alone = true;  ///< false: other work shares the device, so no schedule takes all of it
};

template <>
inline constexpr bool reaches_v<gpu, device> = true;

/// Bytes of device memory, freed on the stream that allocated them. The same holds for scratch: one scratch, one
/// stream.
class device_bytes {
 public:
  device_bytes() = default;
  device_bytes(gpu const& where, std::size_t size) : where_(where), size_(size)
  {
    if (size > 0) first_ = resource().allocate(size, where.stream);
  }
  device_bytes(device_bytes&& other) noexcept { swap(other); }
  device_bytes& operator=(device_bytes&& other) noexcept
  {
    device_bytes moved(static_cast<device_bytes&&>(other));
    swap(moved);
    return *this;
  }
  device_bytes(device_bytes const&) = delete;
  device_bytes& operator=(device_bytes const&) = delete;
  ~device_bytes()
  {
    if (first_ != nullptr) resource().release(first_, size_, where_.stream);
  }

  [[nodiscard]] void* data() const { return first_; }
  [[nodiscard]] std::size_t size() const { return size_; }

  /// Make the memory at least this large. Its contents are lost if it grows.
  void reserve(gpu const& where, std::size_t size)
  {
    if (size > size_) *this = device_bytes(where, size);
  }

 private:
  device_resource& resource() const { return where_.resource != nullptr ? *where_.resource : default_resource(); }
  void swap(device_bytes& other) noexcept
  {
    auto const where = where_;
    auto* const first = first_;
    auto const size = size_;
    where_ = other.where_, first_ = other.first_, size_ = other.size_;
    other.where_ = where, other.first_ = first, other.size_ = size;
  }

  gpu where_{};
  void* first_ = nullptr;
  std::size_t size_ = 0;
};

/// The number of usable CUDA devices. 0 without a driver (cudaErrorInsufficientDriver) or without a card.
inline int device_count() noexcept
{
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

/// As wait_for on the cpu. @throws gpu_error
inline void wait_for(gpu const& where, char const* what) { throw_if_failed(cudaStreamSynchronize(where.stream), what); }

/// As read_cell on the cpu. @throws gpu_error
template <class T>
[[nodiscard]] T read_cell(gpu const& where, T const* at)
{
  static_assert(std::is_trivially_copyable_v<T>);
  T out;
  throw_if_failed(cudaMemcpyAsync(&out, at, sizeof(T), cudaMemcpyDeviceToHost, where.stream), "read_cell");
  wait_for(where, "read_cell");
  return out;
}

}  // namespace cambium
