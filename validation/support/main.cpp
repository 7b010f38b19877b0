// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "comm/communicator.hpp"

// Every rank runs every test; the program fails if one of them failed anywhere.
int main(int argc, char** argv) {
  dino::MpiSession const session(&argc, &argv);
  testing::InitGoogleTest(&argc, argv);
  auto const world = dino::Communicator::world();
  if (world.rank() != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    if (world.size() > 1) delete listeners.Release(listeners.default_result_printer());
  }
  bool const failed = RUN_ALL_TESTS() != 0;
  if (failed && world.rank() != 0) {
    auto const& unit = *testing::UnitTest::GetInstance();
    for (int s = 0; s < unit.total_test_suite_count(); ++s) {
      auto const& suite = *unit.GetTestSuite(s);
      for (int t = 0; t < suite.total_test_count(); ++t) {
        auto const& result = *suite.GetTestInfo(t)->result();
        for (int p = 0; p < result.total_part_count(); ++p) {
          auto const& part = result.GetTestPartResult(p);
          if (part.failed()) {
            std::fprintf(stderr, "[rank %d] %s.%s %s:%d: %s\n", world.rank(), suite.name(), suite.GetTestInfo(t)->name(),
                         part.file_name() != nullptr ? part.file_name() : "?", part.line_number(), part.summary());
          }
        }
      }
    }
  }
  return world.any(failed) ? 1 : 0;
}
