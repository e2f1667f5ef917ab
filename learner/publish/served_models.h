#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "learner/publish/publication.h"
#include "learner/publish/serving_model.h"

namespace millrace {

/// A publication of a model beside the champion.
struct NamedPublication {
  std::string model;
  Publication publication;
};

/// The models of a stream whose scores can be asked for by name: the champion, whose weights stand
/// where they always do, and each other one in a ServingModel of its own.
///
/// Memory: that of a ServingModel for each model but the champion, once it was published.
/// Threads: `apply`, `keep_champion` and `became_champion` from one thread, `find` from any.
class ServedModels {
 public:
  /// Borrows what serves the champion.
  explicit ServedModels(const ServingModel& champion) : champion_(champion) {}

  /// Makes a publication of a model that is not the champion visible. Requires: the first one of a
  /// model is complete and has its shape.
  void apply(const NamedPublication& named, VersionNumber version);
  /// The champion's next weights are those of model `next`. Where that is another, the last version
  /// of the one before stays under its name, unless one came since (its weights may be held).
  /// Requires: as ServingModel::apply.
  void keep_champion(const std::string& next);
  /// The champion's weights are that model's from now on: it needs none of its own.
  void became_champion(const std::string& model);

  /// Null: of that model no version was published (or there is no such model).
  std::shared_ptr<const ServingModel> find(std::string_view model) const;

 private:
  const ServingModel& champion_;
  mutable std::mutex mutex_;  ///< Of the map alone.
  std::map<std::string, std::shared_ptr<ServingModel>, std::less<>> others_;
};

/// Makes the next weights of what answers for the champion visible. Where they are of another model
/// than those before, the last ones of that model stay under its name in `others` (null: no model
/// is asked for by its name). Requires: as ServingModel::apply.
void apply_champion(const Publication& publication, VersionNumber version, ServingModel& champion,
                    ServedModels* others);

}  // namespace millrace
