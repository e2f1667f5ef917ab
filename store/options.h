#pragma once

#include <optional>
#include <string>

#include "learner/base/fields.h"

namespace millrace {

/// `store.snapshots`
struct SnapshotOptions {
  Duration every{600'000};
  int keep = 24;
  static constexpr auto fields() {
    using S = SnapshotOptions;
    return std::tuple{
        field("every", &S::every, "How often the daemon takes a snapshot.", Duration{1000}),
        field("keep", &S::keep, "How many snapshots are kept; older ones are removed.", 1, 10'000)};
  }
};

/// The `store:` section of the configuration.
struct StoreOptions {
  std::string path = "./state";
  std::optional<Duration> commit_every = Duration{500};
  SnapshotOptions snapshots;
  ByteSize free_space{256LL << 20};
  static constexpr auto fields() {
    using S = StoreOptions;
    return std::tuple{field("path", &S::path, "The folder that holds everything."),
                      field("commit_every", &S::commit_every,
                            "How often everything is committed; off (`replay` only): at the end.",
                            Duration{10}, Duration{60'000}),
                      field("snapshots", &S::snapshots, "Snapshots of the whole store."),
                      field("free_space", &S::free_space,
                            "Where less is free on the disk, learning pauses and serving goes on; "
                            "0: never looked at.",
                            ByteSize{0})};
  }
};

}  // namespace millrace
