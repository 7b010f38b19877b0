// SPDX-License-Identifier: Apache-2.0
#include "objective/dino_v2_loss.hpp"

#include "unit/kernels/kernel_test.hpp"
#include "unit/objective/objective_reference.hpp"

using namespace dino;
using namespace dino::test;

namespace {

struct Case {
  std::int64_t batch, local_crops, width;
  CropPairing pairing = CropPairing::different;
  double local_weight = 1;
  std::vector<float> global = random_values<float>(2 * batch * width, 1, 0.5);
  std::vector<float> local = random_values<float>(local_crops * batch * width, 2, 0.5);
  std::vector<float> targets = make_targets();

  std::vector<float> make_targets() const {
    auto const p = softmax(doubles(random_values<float>(2 * batch * width, 3)),
                           static_cast<std::size_t>(width), 1);
    return {p.begin(), p.end()};
  }
  DinoV2Settings settings() const {
    return {.pairs = CropPairs::v3(local_crops, pairing),
            .images = batch,
            .global_batch = 3 * batch,  // of which this call has a third
            .student_temperature = static_cast<double>(0.1F),
            .loss_weight = 0.7,
            .local_weight = local_weight};
  }
  /// w [T_l/(T_g + T_l) α ℓ_loc + T_g/(T_g + T_l) ℓ_glob] with ℓ the means over pairs and images,
  /// as in method.md 3.3.
  double objective(Doubles const& global_logits, Doubles const& local_logits) const {
    auto const tau = settings().student_temperature;
    auto const b = static_cast<std::size_t>(batch), k = static_cast<std::size_t>(width);
    auto const sum = [&](Doubles const& logits, bool skip_same) {
      auto const log_p = log_softmax(logits, k, tau);
      double total = 0;
      for (std::size_t a = 0; a < 2; ++a)
        for (std::size_t v = 0; v < logits.size() / k / b; ++v)
          for (std::size_t i = 0; i < b; ++i)
            if (!skip_same || a != v)
              total += cross_entropy(doubles(targets), a * b + i, log_p, v * b + i, k);
      return total / static_cast<double>(settings().global_batch);
    };
    double const t_l = 2.0 * static_cast<double>(local_crops);
    double const t_g = pairing == CropPairing::different ? 2 : 4;
    double const local_mean = local_crops == 0 ? 0 : sum(local_logits, false) / t_l;
    double const global_mean = sum(global_logits, pairing == CropPairing::different) / t_g;
    return 0.7 * (t_l / (t_g + t_l) * local_weight * local_mean + t_g / (t_g + t_l) * global_mean);
  }
};

template <class T>
class DinoV2 : public testing::Test {};
TYPED_TEST_SUITE(DinoV2, Precisions);

TYPED_TEST(DinoV2, IsTheWeightedMeanOverPairsAndItsGradient) {
  using T = TypeParam;
  auto const all = CropPairing::all;
  for (auto const& c : {Case{1, 1, 5}, Case{2, 0, 7}, Case{2, 3, 7, all}, Case{1, 2, 67, all, 0.4},
                        Case{2, 2, 1}, Case{1, 1, 517}}) {
    SCOPED_TRACE(c.width);
    std::vector<T> dglobal(c.global.size()), dlocal(c.local.size());
    auto const rows = [&](auto& v) {
      return as<2>(v, {static_cast<std::int64_t>(v.size()) / c.width, c.width});
    };
    DinoV2Loss loss(host);

    loss.begin_step();
    loss.template add_global<T>(rows(c.global), rows(c.targets), c.settings(), rows(dglobal));
    loss.template add_local<T>(rows(c.local), rows(c.targets), c.settings(), rows(dlocal));

    auto const g = doubles(c.global), l = doubles(c.local);
    EXPECT_LE(
        deviation(Doubles{loss.local_terms().objective(c.settings())}, Doubles{c.objective(g, l)}),
        tolerance<float>(c.width));
    auto const of_global = numeric_gradient([&](Doubles const& x) { return c.objective(x, l); }, g);
    auto const of_local = numeric_gradient([&](Doubles const& x) { return c.objective(g, x); }, l);
    EXPECT_LE(deviation_from(dglobal, of_global), tolerance<T>(c.width));
    EXPECT_LE(deviation_from(dlocal, of_local), tolerance<T>(c.width));
  }
}

TEST(DinoV2Loss, GivesTheNumbersWorkedOutByHand) {
  std::vector<float> student{1, 0, 0, 0, 1, 0}, gradient(6);
  std::vector<float> const teacher{.7F, .2F, .1F, .1F, .8F, .1F};
  DinoV2Settings const settings{
      .pairs = CropPairs::v3(0, CropPairing::different), .images = 1, .global_batch = 1};
  DinoV2Loss loss(host);

  loss.begin_step();
  loss.add_global<float>(as<2>(student, {2, 3}), as<2>(teacher, {2, 3}), settings,
                         as<2>(gradient, {2, 3}));

  EXPECT_NEAR(loss.local_terms().objective(settings), 8.5000907957, 10 * tolerance<float>());
}

TEST(DinoV2Loss, OverwritesItsStudentWithTheSameBits) {
  Case c{2, 2, 67};
  std::vector<float> gradient(c.local.size());
  DinoV2Loss loss(host);

  loss.begin_step();
  loss.add_local<float>(as<2>(c.local, {4, 67}), as<2>(c.targets, {4, 67}), c.settings(),
                        as<2>(gradient, {4, 67}));
  loss.add_local<float>(as<2>(c.local, {4, 67}), as<2>(c.targets, {4, 67}), c.settings(),
                        as<2>(c.local, {4, 67}));

  EXPECT_EQ(c.local, gradient);
}

TEST(DinoV2Loss, HasNoTermWithoutImages) {
  DinoV2Loss loss(host);
  DinoV2Settings const settings{.pairs = CropPairs::v2(3), .images = 0, .global_batch = 4};

  loss.begin_step();
  loss.add_global<float>({nullptr, {0, 7}}, {nullptr, {0, 7}}, settings, {nullptr, {0, 7}});
  loss.add_local<float>({nullptr, {0, 7}}, {nullptr, {0, 7}}, settings, {nullptr, {0, 7}});

  EXPECT_EQ(loss.local_terms().objective(settings), 0);
}

TEST(CropPairsTest, AreThoseOfThePublishedCode) {
  EXPECT_EQ(CropPairs::v2(8).total(), 18);
  EXPECT_EQ(CropPairs::v2(0).total(), 3);
  EXPECT_EQ(CropPairs::v3(8, CropPairing::different).total(), 18);
  EXPECT_EQ(CropPairs::v3(8, CropPairing::all).total(), 20);
  EXPECT_EQ(CropPairs::v3(0, CropPairing::different).total(), 2);
}

}  // namespace
