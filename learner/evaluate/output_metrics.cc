#include "learner/evaluate/output_metrics.h"

namespace millrace {

void OutputMetrics::save(StateChanges& changes) {
  if (!changed_) return;
  changed_ = false;
  ByteWriter writer;
  all_.sparse().save(writer);
  changes.values.push_back({name_ + "/all", writer.take()});
  window_.save(name_ + "/window", changes);
}

bool OutputMetrics::restore(std::string_view name, std::string_view bytes) {
  if (!name.starts_with(name_)) return false;
  name.remove_prefix(name_.size());
  if (name == "/all") {
    ByteReader reader(bytes);
    all_.clear();
    all_.add(SparseTally::restored(reader));
    if (!reader.at_end()) throw StateError("saved metrics have a wrong size");
  } else if (name == "/window") {
    window_.restore({}, bytes);
  } else if (name.starts_with("/window/")) {
    window_.restore(name.substr(std::string_view("/window/").size()), bytes);
  } else {
    return false;
  }
  changed_ = false;
  return true;
}

}  // namespace millrace
