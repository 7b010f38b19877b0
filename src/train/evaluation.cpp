// SPDX-License-Identifier: Apache-2.0
#include "train/evaluation.hpp"

#include "base/log.hpp"
#include "data/open_shards.hpp"
#include "eval/knn_protocol.hpp"
#include "train/dino_model.hpp"

namespace dino::train {

template <class T>
TeacherEvaluation<T>::TeacherEvaluation(Space const& space, Communicator const& world,
                                        Config const& config)
    : space_(space), world_(world), config_(config), decay_(config.monitor.dense_decay) {
  if (config.monitor.dense_every > 0) dense_.emplace(space, world, config);
}

template <class T>
void TeacherEvaluation<T>::remember(std::map<std::string, std::vector<double>> const& evaluations) {
  auto const steps = evaluations.find("step");
  if (steps == evaluations.end()) return;
  for (std::size_t i = 0; i < steps->second.size(); ++i) {
    EvaluationRow row;
    for (auto const& [name, column] : evaluations) row[name] = column[i];
    decay_.look(static_cast<std::int64_t>(steps->second[i]), row);
  }
}

template <class T>
EvaluationRow TeacherEvaluation<T>::measure(Backbone<T>& teacher, std::int64_t step,
                                            Moment moment) {
  auto const due = [&](std::int64_t every) {
    return every > 0 && (step % every == 0 || moment != Moment::step);
  };
  EvaluationRow row;
  if (due(config_.eval.knn_every) && moment != Moment::before_training)
    row.merge(knn(teacher, step));
  if (due(config_.monitor.dense_every)) row.merge(dense_features(teacher, step));
  auto const sign = decay_.look(step, row);
  if (sign && chief()) log::warning("step {}: {}", step, *sign);
  return row;
}

template <class T>
EvaluationRow TeacherEvaluation<T>::knn(Backbone<T>& teacher, std::int64_t step) const {
  auto const& e = config_.eval;
  auto const locking = config_.data.file_locking ? io::FileLocking::yes : io::FileLocking::no;
  auto const train = open_shards(world_, e.train_shards, locking);
  auto const test = open_shards(world_, e.test_shards, locking);
  require_same_classes(train, test);
  auto const options = evaluation_options(config_);
  auto const results = knn_accuracy(
      world_, extract_features(space_, world_, teacher, train, options),
      extract_features(space_, world_, teacher, test, options), e.knn_k, e.knn_temperature);
  EvaluationRow row;
  for (auto const& result : results) {
    row[fmt::format("knn_top1_k{}", result.k)] = result.top1;
    row[fmt::format("knn_top5_k{}", result.k)] = result.top5;
    if (chief()) {
      log::info("step {}: {}-NN of the teacher {:.2f} % top-1, {:.2f} % top-5", step, result.k,
                result.top1, result.top5);
    }
  }
  return row;
}

template <class T>
EvaluationRow TeacherEvaluation<T>::dense_features(Backbone<T>& teacher, std::int64_t step) {
  auto row = dense_->look(as_vit(teacher), step);
  auto const text = [&](std::string const& name, std::string const& words) {
    auto const it = row.find(name);
    return it == row.end() ? std::string() : fmt::format(", {} {:.4g}", words, it->second);
  };
  if (chief()) {
    log::info(
        "step {}: patches of the teacher: cosine to the class token {:.3f}, to each other {:.3f}, "
        "side by side {:.3f}{}{}",
        step, row.at("dense_patch_to_class"), row.at("dense_patch_to_patch"),
        row.at("dense_adjacent_patches"), text("dense_gram_distance", "Gram distance"),
        text("dense_probe_mean_iou", "mask probe's mean IoU"));
  }
  return row;
}

template class TeacherEvaluation<float>;
template class TeacherEvaluation<bfloat16>;

}  // namespace dino::train
