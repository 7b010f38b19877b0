// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/error.hpp"

namespace dino {

/// Fails unless `act` throws an Error of this code whose message contains `text`.
inline void expect_refusal(std::function<void()> const& act, ExitCode code,
                           std::string const& text) {
  try {
    act();
    FAIL() << "nothing was refused";
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

}  // namespace dino
