#include "ops/metrics/catalogue.h"

#include <array>
#include <cstdio>
#include <cstdlib>

namespace millrace {
namespace {

using enum MetricKind;

constexpr std::array kCatalogue = std::to_array<Metric>({
    {"millrace_build_info", kGauge, "version", "1; the version is in the label."},
    {"millrace_learning_stopped", kGauge, "",
     "1 while learning does not run, for whatever reason; serving goes on."},
    {"millrace_learning_state", kGauge, "state",
     "1 for the state that learning is in: running, paused (store.free_space), restarting (after a "
     "failure, by itself), stopped (a person has to act), rolling_back."},
    {"millrace_learning_restarts_total", kCounter, "",
     "Times that learning was started again from the last commit, since the start of the process. "
     "Counters of its parts begin anew each time."},
    {"millrace_rollbacks_total", kCounter, "offsets,result",
     "Rollbacks that the API was asked for, since the start of the process. result: done, or "
     "refused (the answer and the log say why; the store is as it was)."},
    {"process_resident_memory_bytes", kGauge, "", "Resident memory of the process."},
    {"process_cpu_seconds_total", kCounter, "", "Processor time of the process, user and system."},
    {"process_start_time_seconds", kGauge, "", "When the process started, since the epoch."},

    {"millrace_partition_position", kGauge, "topic,partition",
     "Offset of the next record to be read."},
    {"millrace_partition_lag", kGauge, "topic,partition",
     "Records between the position and the broker's end, as last heard."},
    {"millrace_lost_ranges_total", kCounter, "reason",
     "Ranges of offsets that kafka.on_lost: skip skipped since the store began. reason: retention, "
     "made_anew (the topic), cut (the log); the log and `inspect` name each."},
    {"millrace_lost_offsets_total", kCounter, "reason",
     "Offsets in those of these ranges whose end is known."},
    {"millrace_partitions_left_out_total", kCounter, "",
     "Times a partition that was behind and silent was no longer waited for (join.idle_after)."},
    {"millrace_events_taken_total", kCounter, "",
     "Events taken, dead letters included; as of the last commit."},
    {"millrace_dead_letters_total", kCounter, "reason",
     "Records that could not become events; as of the last commit."},
    {"millrace_dead_letters_waiting", kGauge, "",
     "Dead letters not delivered yet, at most dead_letters.outbox; taking pauses beyond it."},
    {"millrace_taking_paused_total", kCounter, "",
     "Times that taking paused because the dead letters' outbox was full."},
    {"millrace_features_missing_total", kCounter, "",
     "Features of events that were missing or null since the start of the process."},
    {"millrace_features_unknown_total", kCounter, "",
     "Features of events that the configuration does not know, since the start of the process."},
    {"millrace_labels_unknown_total", kCounter, "",
     "Labels of samples for tasks that there are not, since the start of the process."},

    {"millrace_events_total", kCounter, "type,result",
     "What became of impressions, outcomes and samples; as of the last commit."},
    {"millrace_waiting", kGauge, "kind",
     "Impressions and outcomes that wait in the join; as of the last commit."},
    {"millrace_rows_total", kCounter, "", "Joined rows with a label; as of the last commit."},
    {"millrace_rows_dropped_total", kCounter, "reason",
     "Joined rows that were neither trained nor measured (train.negative_sampling, train.shed); as "
     "of the last commit."},
    {"millrace_user_cap_rows_total", kCounter, "",
     "Joined rows that were measured but not learned from, because their user had had "
     "guardrails.user_cap.rows of the window; as of the last commit."},
    {"millrace_user_cap_users_total", kCounter, "",
     "Users of whom rows were capped, once for each window; as of the last commit."},
    {"millrace_user_cap_crowded_total", kCounter, "",
     "Times that a window had more users than guardrails.user_cap.users, which loosens the cap; as "
     "of the last commit."},
    {"millrace_label_coverage_ratio", kGauge, "task,within",
     "Share of the task's outcomes (the first of each impression that was applied) that came "
     "within "
     "this part of the window, 1/64 to 1; as of the last commit. Where it is flat before 1, a "
     "shorter window loses little."},
    {"millrace_outcomes_out_of_window_total", kCounter, "outcome",
     "Outcomes that came after their window, by type; as of the last commit."},
    {"millrace_watermark_timestamp_seconds", kGauge, "", "The join's watermark W, in event time."},
    {"millrace_watermark_lag_seconds", kGauge, "", "Wall clock minus W."},
    {"millrace_newest_event_timestamp_seconds", kGauge, "", "F, the largest event time taken."},
    {"millrace_clock_steps_total", kCounter, "",
     "Times that W followed the clock because all was quiet (join.quiet_after)."},
    {"millrace_join_memory_bytes", kGauge, "",
     "Memory of what waits in the join: impressions, outcomes, the index of what lies in the "
     "store; "
     "with what was ever needed for them."},
    {"millrace_join_memory_limit_bytes", kGauge, "",
     "join.memory: impressions beyond it lie in the store."},
    {"millrace_join_impressions", kGauge, "place",
     "Impressions that wait, now. place: memory, or store."},
    {"millrace_join_history_entries", kGauge, "kind",
     "What /v1/join remembers of the time since the start: refused events and decided rows, each "
     "at "
     "most join.history."},
    {"millrace_join_store_blocks", kGauge, "", "Blocks of impressions that lie in the store."},
    {"millrace_join_store_bytes", kGauge, "", "Bytes of the impressions that lie in the store."},
    {"millrace_join_store_lookups_total", kCounter, "result",
     "Times that an id was asked for which memory did not have, while some lay in the store. "
     "result: spared (the index in memory knew that it is not there), or read."},
    {"millrace_join_store_reads_total", kCounter, "", "Blocks of impressions read from the store."},
    {"millrace_join_store_loads_total", kCounter, "",
     "Blocks taken back into memory because they were due."},
    {"millrace_join_store_waits_total", kCounter, "",
     "Times that taking waited for a commit because the join's memory was far beyond its limit."},
    {"millrace_batches_total", kCounter, "", "Batches closed since the start of the process."},

    {"millrace_stage_seconds_total", kCounter, "stage",
     "Where the time of the path from record to commit goes, since the start of the process; "
     "stages "
     "run beside each other on three threads."},
    {"millrace_train_queue_batches", kGauge, "", "Batches that wait for the trainer."},
    {"millrace_train_queue_capacity_batches", kGauge, "",
     "train.queue: when it is reached, taking waits."},
    {"millrace_champion", kGauge, "model",
     "1 for the champion, 0 for others; millrace_served says whose weights answer."},
    {"millrace_transfer_alarm", kGauge, "model,task",
     "1 while the champion is worse at the task than its twin, which learns it alone (twins)."},
    {"millrace_transfer_loss_difference", kGauge, "model,task",
     "The champion's mean loss minus its twin's, over the last blocks of rows."},
    {"millrace_transfer_loss_margin", kGauge, "model,task",
     "twins.deviations standard errors of that difference."},
    {"millrace_transfer_alarms_total", kCounter, "model,task",
     "Times that this alarm rose while the model was the champion, since the store began."},
    {"millrace_train_rows_total", kCounter, "model",
     "Rows trained since the start of the process."},
    {"millrace_train_steps_total", kCounter, "model", "Steps since the start of the process."},
    {"millrace_train_steps_skipped_total", kCounter, "model,reason",
     "Batches that updated nothing, since the start of the process."},
    {"millrace_train_seconds_total", kCounter, "model", "Time spent in training steps."},
    {"millrace_feedback_scores", kGauge, "model",
     "First scores of impressions whose labels are trained before they are decided."},
    {"millrace_feedback_score_bytes", kGauge, "model",
     "Their memory, with what was ever needed for them."},
    {"millrace_feedback_score_limit_bytes", kGauge, "model",
     "What they need where every impression that waits in the join has one; as of the last commit. "
     "More for long: labels that never come (train.feedback.forget_after)."},
    {"millrace_feedback_scores_missed_total", kCounter, "model",
     "Impressions with final labels that could not be measured for want of a first score, since "
     "the store began."},
    {"millrace_feedback_head_loss", kGauge, "model,task,head",
     "Mean loss of the nets beside es_dfm, defer, defuse and dfm in the last batch with targets: "
     "cross-entropy, or of dfm what its labels and delays cost. "
     "head: delayed (a 1 is still to come), never (a 0 stays), rate (how fast a 1 comes)."},
    {"millrace_learning_frozen", kGauge, "model,reason",
     "1 where all of learning is frozen, for that reason; dead_letters: rows are passed over while "
     "they are too many."},
    {"millrace_task_frozen", kGauge, "model,task,reason",
     "1 where the task is frozen, for that reason."},
    {"millrace_freezes_total", kCounter, "model,reason",
     "Times that a task or all of learning was frozen, since the store began."},
    {"millrace_task_rows_passed_over_total", kCounter, "model,task",
     "Rows with the task's label that it did not learn from while frozen, since the store began."},
    {"millrace_quarantined_batches", kGauge, "model",
     "Skipped batches that are remembered (guardrails.not_finite.quarantine)."},
    {"millrace_task_rows_total", kCounter, "model,task", "Rows measured since the store began."},
    {"millrace_task_positives_total", kCounter, "model,task",
     "Positive labels of a binary task since the store began."},
    {"millrace_task_auc", kGauge, "model,task,output,window",
     "Progressive AUC. output: own, entire (the product over its conditions) or recalibrated (what "
     "is served of a task in train.recalibrate); window: all, or recent (the last 100,000 rows)."},
    {"millrace_task_auc_error", kGauge, "model,task,output,window",
     "Bound of the AUC's error, from its histogram."},
    {"millrace_task_log_loss", kGauge, "model,task,output,window", "Progressive log loss."},
    {"millrace_task_normalized_entropy_ratio", kGauge, "model,task,output,window",
     "Log loss over the entropy of the base rate."},
    {"millrace_task_calibration_ratio", kGauge, "model,task,output,window",
     "Sum of predictions over sum of labels."},
    {"millrace_task_rmse", kGauge, "model,task,output,window",
     "Root of the mean squared error of a regression, in the label's units."},
    {"millrace_task_mae", kGauge, "model,task,output,window",
     "Mean absolute error of a regression, in the label's units."},
    {"millrace_task_calibration_error", kGauge, "model,task,output,window",
     "Expected calibration error: mean distance of predictions and labels over 32 bins of the "
     "logit."},
    {"millrace_task_label_mean", kGauge, "model,task,output,window",
     "Observed rate of a binary task, or mean label."},
    {"millrace_task_prediction_mean", kGauge, "model,task,output,window",
     "Predicted rate of a binary task, or mean prediction."},
    {"millrace_task_division_prediction_ratio", kGauge, "model,task,window",
     "Mean prediction of the product over that of its condition, over all impressions (CTCVR over "
     "CTR); of tasks over the entire space."},
    {"millrace_task_division_label_ratio", kGauge, "model,task,window", "The same of the labels."},
    {"millrace_task_gauc", kGauge, "model,task,output",
     "AUC within users, weighed by their rows, over the last rows with a user "
     "(evaluate.gauc_rows)."},
    {"millrace_task_gauc_users", kGauge, "model,task,output",
     "Users with both classes among these rows: those that count."},
    {"millrace_task_exact_auc", kGauge, "model,task,output",
     "Exact AUC over the last rows (evaluate.exact_auc_rows)."},
    {"millrace_task_recalibration_slope", kGauge, "model,task",
     "What the logit of a task in train.recalibrate is multiplied by before it is served."},
    {"millrace_task_recalibration_shift", kGauge, "model,task", "What is added to it then."},
    {"millrace_slice_rows", kGauge, "model,task,output,slice",
     "Rows of a slice (evaluate.slices) among the last 100,000, which the other figures of a slice "
     "are of, too."},
    {"millrace_slice_auc", kGauge, "model,task,output,slice", "Progressive AUC of a slice."},
    {"millrace_slice_log_loss", kGauge, "model,task,output,slice", "Log loss of a slice."},
    {"millrace_slice_calibration_ratio", kGauge, "model,task,output,slice",
     "Sum of predictions over sum of labels of a slice."},
    {"millrace_slice_rmse", kGauge, "model,task,output,slice",
     "Root of the mean squared error of a slice."},
    {"millrace_composite", kGauge, "model,window",
     "Weighted mean of the tasks' scores (evaluate.composite): 0 is no better than the mean label, "
     "1 perfect; absent while a task's score is undefined."},
    {"millrace_business", kGauge, "model,figure,window,kind",
     "Sum of a figure of evaluate.business over the window's rows. kind: observed (of the labels), "
     "predicted (of the scores given before)."},
    {"millrace_gate_entropy_ratio", kGauge, "model,task,level",
     "Mean entropy of the gate over the greatest: 1 where all experts weigh alike."},
    {"millrace_gate_alarm", kGauge, "model,task,level,reason",
     "1 where the gate's entropy is out of its band. reason: even, collapsed."},
    {"millrace_gate_weight", kGauge, "model,task,level,expert",
     "Mean weight of an expert in a gate. level: of a PLE or STEM, from 0; the last one's gates "
     "feed "
     "the towers. task: (shared) is the gate of the shared stream."},
    {"millrace_gate_weight_deviation", kGauge, "model,task,level,expert",
     "Standard deviation of that weight over rows."},
    {"millrace_gate_dead_units_ratio", kGauge, "model,task,level,expert",
     "Share of the expert's units that were 0 in every measured row."},
    {"millrace_feature_importance", kGauge, "model,task,feature",
     "Mean size of what the feature adds to the task's logit (evaluate.importance)."},
    {"millrace_task_weight", kGauge, "model,task", "What the balancer gives the task."},
    {"millrace_task_gradient_norm", kGauge, "model,task",
     "Root mean square norm of the gradient of the task's loss on the last shared layer."},
    {"millrace_task_similarity", kGauge, "model,task",
     "Mean gradient cosine with the other tasks, negative ones as 0."},
    {"millrace_task_gradient_cosine", kGauge, "model,task,other",
     "Running cosine of two tasks' gradients on the last shared layer. This and the next five: of "
     "pairs of the first 16 tasks; all are in /v1/relations."},
    {"millrace_task_conflict_ratio", kGauge, "model,task,other",
     "Share of measurements in which the two gradients pointed against each other."},
    {"millrace_task_label_correlation", kGauge, "model,task,other",
     "Pearson correlation of two tasks' labels on rows that have both."},
    {"millrace_task_mutual_information_nats", kGauge, "model,task,other",
     "Mutual information of two tasks' labels on rows that have both."},
    {"millrace_task_representation_similarity", kGauge, "model,task,other",
     "How alike the inputs of two tasks' towers are (relations.representation)."},
    {"millrace_task_relation_ratio", kGauge, "model,task,other,relation",
     "Learned probability that two tasks' gradients are positive, negative or neutral to each "
     "other; from the first measured pair on."},
    {"millrace_task_loss", kGauge, "model,task", "Mean loss of the last batch with the label."},
    {"millrace_task_label_ratio", kGauge, "model,task", "Share of matured rows with the label."},
    {"millrace_embedding_rows", kGauge, "model,table", "Rows of an embedding table."},
    {"millrace_embedding_bytes", kGauge, "model,table", "Memory of an embedding table."},
    {"millrace_embedding_admitted_total", kCounter, "model,table",
     "Keys that were given a row, since the store began."},
    {"millrace_embedding_expired_total", kCounter, "model,table",
     "Rows dropped after embeddings.expire_after, since the store began."},
    {"millrace_embedding_refused_total", kCounter, "model,table",
     "Uses of keys that found no room (embeddings.max_rows), since the store began."},
    {"millrace_embedding_evicted_total", kCounter, "model,table",
     "Rows dropped to make room (embeddings.evict), since the store began."},

    {"millrace_commit_sequence", kGauge, "", "The last durable commit."},
    {"millrace_commits_total", kCounter, "", "Commits since the start of the process."},
    {"millrace_commit_failures_total", kCounter, "",
     "Commits and snapshots that could not be written."},
    {"millrace_commit_seconds_total", kCounter, "", "Time spent writing commits."},
    {"millrace_commit_bytes_total", kCounter, "", "Bytes of commits."},
    {"millrace_store_blocks", kGauge, "", "Blocks of changed entries in the store."},
    {"millrace_store_block_bytes", kGauge, "", "Their bytes."},
    {"millrace_store_live_bytes", kGauge, "", "Bytes of them that still count."},
    {"millrace_snapshots_total", kCounter, "", "Snapshots taken since the start of the process."},
    {"millrace_side_file_failures_total", kCounter, "",
     "Commits that are safe, but whose number could not be kept beside the store."},
    {"millrace_lost_commits", kGauge, "",
     "Acknowledged commits that were not there when the store was last opened."},

    {"millrace_publications_total", kCounter, "", "Versions published since the start."},
    {"millrace_publications_held_total", kCounter, "reason",
     "Times that a due version did not leave, since the start. reason: unbounded, loss."},
    {"millrace_version_commit", kGauge, "", "First number of the visible version."},
    {"millrace_version_publication", kGauge, "", "Second number of the visible version."},
    {"millrace_served", kGauge, "model",
     "1 for the model whose weights answer requests that name none, 0 for others: the champion, "
     "but where its weights are held and no good ones of it are there."},
    {"millrace_model_version_commit", kGauge, "model",
     "First number of the version that answers by the model's name."},
    {"millrace_model_version_publication", kGauge, "model", "Second number of that version."},
    {"millrace_model_version_age_seconds", kGauge, "model",
     "How old the newest event is that this version has seen."},
    {"millrace_publish_timestamp_seconds", kGauge, "", "When the visible version was published."},
    {"millrace_publish_seconds", kGauge, "", "How long the last publication took."},
    {"millrace_version_age_seconds", kGauge, "",
     "How old the newest event is that the visible version has seen."},
    {"millrace_serving_rows", kGauge, "", "Embedding rows of the visible version."},
    {"millrace_serving_bytes", kGauge, "", "Memory of both copies of the serving tables."},

    {"millrace_requests_total", kCounter, "route,status", "Answers by route and class of status."},
    {"millrace_request_seconds", kHistogram, "stage",
     "Time of score and rank requests. stage: queue, input, compute, output; and total, from the "
     "end of the head to the last byte of the answer."},
    {"millrace_scored_candidates_total", kCounter, "", "Candidates scored."},
    {"millrace_scored_keys_total", kCounter, "", "Categorical values in scored requests."},
    {"millrace_scored_keys_unknown_total", kCounter, "", "Those of them that have no row."},
    {"millrace_scored_features_unknown_total", kCounter, "",
     "Names in requests that the configuration does not know."},
    {"millrace_scores_not_finite_total", kCounter, "", "Scores answered as null."},
    {"millrace_join_questions_total", kCounter, "result",
     "Questions to /v1/join. result: answered (404 too), refused (serve.max_join_queue), timed_out "
     "(serve.join_timeout, serve.handler_timeout), failed (nothing is joined just now, or the "
     "store could not be read)."},
    {"millrace_connections", kGauge, "", "Open connections."},
    {"millrace_connections_refused_total", kCounter, "",
     "Connections refused beyond serve.max_connections."},
});

std::string_view kind_name(MetricKind kind) {
  switch (kind) {
    case kCounter:
      return "counter";
    case kGauge:
      return "gauge";
    case kHistogram:
      return "histogram";
  }
  return "?";
}

}  // namespace

std::span<const Metric> metric_catalogue() { return kCatalogue; }

const Metric& find_metric(std::string_view name) {
  for (const Metric& metric : kCatalogue) {
    if (metric.name == name) return metric;
  }
  std::fprintf(stderr, "no metric %.*s in the catalogue\n", static_cast<int>(name.size()),
               name.data());
  std::abort();
}

std::string metrics_page() {
  std::string page =
      "# Metrics\n\nEvery metric at `/metrics`. Made from the catalogue in "
      "`ops/metrics/catalogue.cc`; do not edit.\n\n| name | kind | labels | meaning |\n"
      "|---|---|---|---|\n";
  for (const Metric& metric : kCatalogue) {
    std::string labels;
    for (const char c : metric.labels) labels += c == ',' ? std::string(", ") : std::string(1, c);
    page += "| `" + std::string(metric.name) + "` | " + std::string(kind_name(metric.kind)) +
            " | " + labels + " | " + std::string(metric.help) + " |\n";
  }
  return page;
}

}  // namespace millrace
