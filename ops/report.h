#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ingest/encode/sampling.h"
#include "ingest/encode/user_cap.h"
#include "ingest/join/accounts.h"
#include "ingest/join/label_delays.h"
#include "learner/base/stages.h"
#include "learner/train/report.h"
#include "learner/train/trainers.h"
#include "ops/engine/engine_status.h"

namespace boost::json {
class object;
}

namespace millrace {

/// Adds `events`, `dead_letters` (every reason, 0 too), `impressions`, `outcomes`, `samples` and
/// `rows`: what became of every event, as reports and `inspect` print it.
void add_accounts(const Accounts& accounts, boost::json::object& report);

/// Adds `dropped_rows`: joined rows that were neither trained nor measured, by reason (0 too).
void add_dropped_rows(const Sampling::Counts& dropped, boost::json::object& report);

/// Adds `tasks`: by task its `weight`; `all`, `window` and `last_fifth` with their figures, null
/// where undefined, and where it applies `entire` in each; and `gauc`, `exact_auc`, `spans`,
/// `slices` and `recalibrated`, as /v1/tasks has them.
void add_tasks(const TrainerReport& trainer, boost::json::object& report);

/// Adds `composite` and `business`, by window.
void add_business(const TrainerReport& trainer, boost::json::object& report);

/// Adds `composite`, `business`, `gates`, `importance` and `history`, as the API has them.
void add_evaluation(const TrainerReport& trainer, boost::json::object& report);

/// Adds `models`: by name whether it is the champion, its steps, rows, tasks (as `tasks`),
/// composite and business figures; and `twins`, where there are any: the comparison of the
/// champion's tasks with them.
void add_models(const TrainerReports& reports, boost::json::object& report);

/// Adds `guardrails`: what is frozen (null where it is not), what was passed over, and the batches
/// in quarantine. `names`: of the tasks.
void add_guardrails(const GuardrailReport& guards, const std::vector<std::string>& names,
                    boost::json::object& report);

/// Adds `label_delays`: by outcome how many were applied (the first of each impression), the share
/// of them within each part of the window, and how many came out of it.
void add_label_delays(const std::vector<LabelDelays::Of>& delays, boost::json::object& report);

/// Adds `capped`: the rows that guardrails.user_cap took the weight of, the users whose rows they
/// were (one in two windows counts twice), and how often a window had more users than it counts.
void add_capped(const UserCap::Counts& capped, boost::json::object& report);

/// What a report of `replay` is made of. Borrows what it refers to.
struct ReplayFigures {
  const CommittedCounts& counts;
  const TrainerReports& trainers;
  const StageTimes& stages;
  double seconds = 0;
  std::uint64_t digest = 0;
};

/// The report of `replay`, as one JSON object. Its `stages` say in seconds where the time went.
std::string replay_report(const ReplayFigures& figures);

/// 16 hexadecimal digits.
std::string print_digest(std::uint64_t digest);

}  // namespace millrace
