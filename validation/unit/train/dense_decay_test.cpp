// SPDX-License-Identifier: Apache-2.0
#include "train/dense_decay.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace dino::train {
namespace {

EvaluationRow row(double iou, double knn) {
  return {{"dense_probe_mean_iou", iou}, {"dense_patch_to_class", 0.1}, {"knn_top1_k10", knn}};
}

TEST(DenseQuality, IsTheMaskProbesWhereThereIsOne) {
  EXPECT_EQ(dense_quality(row(31, 50)), 31.0);
  EXPECT_DOUBLE_EQ(*dense_quality({{"dense_patch_to_class", 0.2}}), 80.0);
  EXPECT_FALSE(dense_quality({{"knn_top1_k10", 50}}).has_value());
}

TEST(DenseDecay, WarnsAfterTwoMeasurementsInARowAndOnce) {
  DenseDecay decay(0.05);

  EXPECT_FALSE(decay.look(100, row(30, 40)));
  EXPECT_FALSE(decay.look(200, row(28, 45)));  // the first
  auto const sign = decay.look(300, row(28, 46));
  ASSERT_TRUE(sign.has_value());
  EXPECT_NE(sign->find("since step 100 the mask probe fell from 30.00 to 28.00, k-NN rose from "
                       "40.00 to 46.00 %"),
            std::string::npos)
      << *sign;
  EXPECT_FALSE(decay.look(400, row(27, 47)));
}

TEST(DenseDecay, IsSilentWhereBothFallOrTheLossIsSmall) {
  DenseDecay both(0.05), small(0.05), interrupted(0.05);
  for (auto* const decay : {&both, &small, &interrupted}) decay->look(100, row(30, 40));

  EXPECT_FALSE(both.look(200, row(20, 39)));
  EXPECT_FALSE(both.look(300, row(20, 40)));
  EXPECT_FALSE(small.look(200, row(28.6, 45)));
  EXPECT_FALSE(small.look(300, row(28.6, 46)));
  EXPECT_FALSE(interrupted.look(200, row(28, 45)));
  EXPECT_FALSE(interrupted.look(300, row(29.9, 45)));
  EXPECT_FALSE(interrupted.look(400, row(28, 45)));
}

TEST(DenseDecay, UsesTheLastKnnWhereTheyAreMeasuredAtOtherSteps) {
  DenseDecay decay(0.05);
  decay.look(50, {{"knn_top1_k10", 40}});
  decay.look(60, {{"dense_probe_mean_iou", 30}});
  decay.look(100, {{"knn_top1_k10", 45}});

  EXPECT_FALSE(decay.look(120, {{"dense_probe_mean_iou", 25}}));
  EXPECT_TRUE(decay.look(180, {{"dense_probe_mean_iou", 25}, {"knn_top1_k10", std::nan("")}}));
}

TEST(PickGramTeacher, TakesTheKeptCheckpointOfTheBestMaskProbe) {
  auto const unknown = std::numeric_limits<double>::quiet_NaN();
  std::map<std::string, std::vector<double>> const evaluations{
      {"step", {0, 100, 150, 200, 300, 400}},
      {"dense_probe_mean_iou", {90, 20, 80, 35, 35, unknown}}};

  EXPECT_EQ(pick_gram_teacher(evaluations, {400, 300, 200, 100, 0}), 200);
}

TEST(PickGramTeacher, WithoutAProbeTakesAnEarlyOne) {
  EXPECT_EQ(pick_gram_teacher({}, {1000, 400, 200, 100, 0}), 200);
  EXPECT_EQ(pick_gram_teacher({}, {1000, 900, 0}), 900);
  EXPECT_EQ(pick_gram_teacher({{"step", {100}}}, {1000, 150}), 150);
  EXPECT_FALSE(pick_gram_teacher({}, {0}).has_value());
}

}  // namespace
}  // namespace dino::train
