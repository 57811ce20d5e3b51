// Memory for large results, kept for reuse.
//
// The C library returns large blocks to the system when they are freed, and a training step that
// allocates them afresh pays a page fault for each page: more than the arithmetic that fills them.
// So freed blocks are kept, up to a limit, for the next result of their size.
#pragma once

#include <cstdlib>
#include <list>
#include <mutex>
#include <new>

#include "huge_pages.h"

namespace vk::cpu {

class BufferPool {
 public:
  static BufferPool& instance() {
    static BufferPool* pool = new BufferPool;  // outlives every buffer, at exit too
    return *pool;
  }

  void set_limit(size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    limit_ = bytes;
    evict();
  }

  size_t kept() const { return kept_; }

  void* take(size_t bytes) {
    bytes = rounded(bytes);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (auto block = blocks_.begin(); block != blocks_.end(); ++block) {
        if (block->bytes != bytes) continue;
        void* data = block->data;
        kept_ -= bytes;
        blocks_.erase(block);
        return data;
      }
    }
    void* data = std::aligned_alloc(kHugePage, bytes);
    if (data == nullptr) throw std::bad_alloc();
    advise_huge_pages(data, static_cast<int64_t>(bytes));
    return data;
  }

  void give_back(void* data, size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    blocks_.push_front({data, rounded(bytes)});
    kept_ += rounded(bytes);
    evict();
  }

 private:
  struct Block {
    void* data;
    size_t bytes;
  };

  static size_t rounded(size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

  void evict() {
    while (kept_ > limit_) {
      std::free(blocks_.back().data);
      kept_ -= blocks_.back().bytes;
      blocks_.pop_back();
    }
  }

  std::mutex mutex_;
  std::list<Block> blocks_;  // most recently used first
  size_t kept_ = 0, limit_ = 0;
};

// A block on loan from the pool.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes), data_(BufferPool::instance().take(bytes)) {}
  ~Buffer() { BufferPool::instance().give_back(data_, bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_;
  void* data_;
};

}  // namespace vk::cpu
