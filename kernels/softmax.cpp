// SPDX-License-Identifier: Apache-2.0
#include "kernels/softmax.hpp"

#include "base/error.hpp"
#include "kernels/check.hpp"

namespace dino {

void CenteredSoftmax::check() const {
  require_extents("CenteredSoftmax", "logits", logits, logits.extents());
  require_extents("CenteredSoftmax", "center", center, {logits.extent(1)});
  require_extents("CenteredSoftmax", "probabilities", probabilities, logits.extents());
  require(temperature > 0, ExitCode::bug, "CenteredSoftmax: temperature is {}, must be above 0",
          temperature);
}

void ColumnSums::check() const {
  require_extents("ColumnSums", "x", x, x.extents());
  require_extents("ColumnSums", "sums", sums, {x.extent(1)});
}

template <class T>
void DinoCrossEntropy<T>::check() const {
  auto const rows = student.extent(0), prototypes = student.extent(1);
  require(batch >= 0, ExitCode::bug, "DinoCrossEntropy: batch is {}", batch);
  std::int64_t const fewest = pairing == CropPairing::different ? 2 : 0;
  require(batch == 0 ? rows == 0 : rows % batch == 0 && rows / batch >= fewest, ExitCode::bug,
          "DinoCrossEntropy: {} student rows are not {}crops of {} images", rows,
          fewest == 2 ? "two or more " : "", batch);
  require_extents("DinoCrossEntropy", "student", student, {rows, prototypes});
  require_extents("DinoCrossEntropy", "teacher", teacher, {teacher_crops * batch, prototypes});
  require_extents("DinoCrossEntropy", "dlogits", dlogits, {rows, prototypes});
  require_extents("DinoCrossEntropy", "loss", loss, {1});
  require(temperature > 0, ExitCode::bug, "DinoCrossEntropy: temperature is {}, must be above 0",
          temperature);
}

template <class T>
void TokenCrossEntropy<T>::check() const {
  require_extents("TokenCrossEntropy", "student", student, student.extents());
  require_extents("TokenCrossEntropy", "teacher", teacher, student.extents());
  require_extents("TokenCrossEntropy", "row_weights", row_weights, {student.extent(0)});
  require_extents("TokenCrossEntropy", "dlogits", dlogits, student.extents());
  require_extents("TokenCrossEntropy", "loss", loss, {1});
  require(temperature > 0, ExitCode::bug, "TokenCrossEntropy: temperature is {}, must be above 0",
          temperature);
}

void ProbabilityStatistics::check() const {
  require_extents("ProbabilityStatistics", "probabilities", probabilities, probabilities.extents());
  require_extents("ProbabilityStatistics", "entropy", entropy, {1});
  require_extents("ProbabilityStatistics", "usage", usage, {probabilities.extent(1)});
}

template struct DinoCrossEntropy<float>;
template struct DinoCrossEntropy<bfloat16>;
template struct TokenCrossEntropy<float>;
template struct TokenCrossEntropy<bfloat16>;

}  // namespace dino
