#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# validation/gpu.sh: the bundle of this build runs elsewhere, and without a GPU its tests are skipped visibly; with one (a
# stand-in for the program) all benchmarks are run, and their figures and failures come out.
. "$(dirname "$0")/common.sh"
build=$(dirname "$DINO_EXECUTABLE")
script=$DINO_SOURCE_DIR/validation/gpu.sh

if [ -e "$build/tests/bin/test_kernels_tokens" ]; then
  XZ_OPT=-0 expect 0 alone bash "$DINO_SOURCE_DIR/validation/bundle.sh" "$build" bundle.tar.xz
  cat log
  mkdir elsewhere
  if ! "$dino" info | grep -q 'cuda:[0-9]'; then
    (cd elsewhere && expect 77 alone bash "$script" --bundle ../bundle.tar.xz) || exit 1
    for line in '^date    20' '^commit  ' '^driver  ' '^devices: host' 'gpu/kernels/tokens .*Skipped' \
      'gpu/loss_curves .*Skipped' '100% tests passed' 'no GPU: no benchmarks'; do
      grep -q "$line" elsewhere/gpu_results.txt || fail "the results do not say: $line"
    done
    ! grep -q "$DINO_SOURCE_DIR\|$build" elsewhere/gpu_results.txt || fail "the bundle knows the machine that made it"
  fi
fi

# A bundle whose program sees a GPU and says what it is asked.
fake=dino_gpu_bundle
mkdir -p $fake/build $fake/source
printf '#!/bin/sh\nexec "$@"\n' >$fake/run.sh
cat >$fake/build/dino <<'END'
#!/bin/sh
[ "$1" != info ] || { echo "devices: host
         cuda:0 stand-in"; exit 0; }
[ "$FAKE_FAILS" != "$2" ] || { echo "no $2 today"; exit 3; }
echo "asked for: $*"
END
echo 'add_test(gpu/one "true")' >$fake/build/CTestTestfile.cmake.in
echo 'set_tests_properties(gpu/one PROPERTIES LABELS gpu)' >>$fake/build/CTestTestfile.cmake.in
echo 123abc >$fake/commit
chmod +x $fake/run.sh $fake/build/dino
tar -cJf fake.tar.xz $fake

expect 0 alone bash "$script" --bundle fake.tar.xz --out all.txt
for line in 'commit  123abc' 'cuda:0 stand-in' 'gpu/one .*Passed' 'asked for: bench gemm' 'bench step .*dinov1_vits16' \
  'bench step .*dinov2_vitl16' 'bench step .*dinov3_vitl16' 'bench loader' 'bench checkpoint' 's in all'; do
  grep -q "$line" all.txt || fail "the results do not say: $line"
done
FAKE_FAILS=step expect 1 alone bash "$script" --bundle fake.tar.xz --out failed.txt
grep -q "no step today" failed.txt && grep -q "asked for: bench checkpoint" failed.txt || fail "one failure ends it all"
expect 1 alone bash "$script" --bundle fake.tar.xz --out late.txt --seconds 1
grep -q "left out: no time left" late.txt || fail "the time is not kept"
expect 2 alone bash "$script" --what
