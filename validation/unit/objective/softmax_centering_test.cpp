// SPDX-License-Identifier: Apache-2.0
#include "objective/softmax_centering.hpp"

#include "unit/kernels/kernel_test.hpp"
#include "unit/objective/objective_reference.hpp"

using namespace dino;
using namespace dino::test;

namespace {

TEST(SoftmaxCenteringTest, MovesTheCentreByTheMeanOfAllRowsOfTheStep) {
  SoftmaxCentering centering(host, 2, 0.9);
  centering.set_center(std::array{1.0F, -1.0F});
  std::vector<float> first{1, 2, 3, 4}, second{5, 9};

  centering.begin_step();
  centering.targets(as<2>(first, {2, 2}), 0.1);
  centering.targets({nullptr, {0, 2}}, 0.1);
  centering.targets(as<2>(second, {1, 2}), 0.1);
  centering.finish_step(Communicator::self());

  EXPECT_LE(deviation(centering.center(), Doubles{0.9 + 0.1 * 3, -0.9 + 0.1 * 5}),
            tolerance<float>(3));
}

TEST(SoftmaxCenteringTest, CentresWithTheCentreOfTheStepsBefore) {
  std::int64_t const rows = 5, width = 67;
  auto const center = random_values<float>(width, 1, 0.1);
  auto logits = random_values<float>(rows * width, 2, 0.1);
  Doubles centred = doubles(logits);
  for (std::size_t i = 0; i < centred.size(); ++i)
    centred[i] -= static_cast<double>(center[i % static_cast<std::size_t>(width)]);
  SoftmaxCentering centering(host, width, 0.9);
  centering.set_center(center);

  centering.begin_step();
  auto const targets = centering.targets(as<2>(logits, {rows, width}), 0.05);

  EXPECT_EQ(targets.data(), logits.data());
  // The exponents are about 10, whose rounding is that many times larger.
  EXPECT_LE(deviation_from(logits, softmax(centred, static_cast<std::size_t>(width), 0.05)),
            10 * tolerance<float>());
}

TEST(SoftmaxCenteringTest, StaysWhereNoRankHasARow) {
  SoftmaxCentering centering(host, 2, 0.9);
  centering.set_center(std::array{1.0F, -1.0F});

  centering.begin_step();
  centering.finish_step(Communicator::self());

  EXPECT_EQ(centering.center(), (std::vector<float>{1, -1}));
}

TEST(SoftmaxCenteringTest, RefusesWhatIsNoCentre) {
  SoftmaxCentering centering(host, 2, 0.9);
  EXPECT_EQ(refusal([&] { centering.set_center(std::array{1.0F}); }),
            "a centre of 1 values for 2 prototypes");
  EXPECT_THAT(refusal([] { SoftmaxCentering(host, 2, 1.5); }), testing::HasSubstr("in [0, 1]"));
}

}  // namespace
