# SPDX-License-Identifier: Apache-2.0

# Environment of every test: one thread per rank, root and more ranks than cores allowed.
set(DINO_TEST_ENVIRONMENT
    "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMP_NUM_THREADS=1;OMPI_MCA_btl=self,vader"
    "OMPI_MCA_pml=ob1;OMPI_MCA_btl_vader_single_copy_mechanism=none;OMPI_MCA_rmaps_base_oversubscribe=1"
    "ASAN_OPTIONS=fast_unwind_on_malloc=0:detect_leaks=1"
    "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/validation/support/lsan.supp:print_suppressions=0"
    "DINO_EXECUTABLE=${PROJECT_BINARY_DIR}/dino"
    "DINO_SOURCE_DIR=${PROJECT_SOURCE_DIR}")
set(DINO_MPIRUN ${MPIEXEC_EXECUTABLE} --oversubscribe --bind-to none ${MPIEXEC_NUMPROC_FLAG})

# dino_add_test(NAME SOURCES a.cpp ... LINK dino::room ... LABELS unit ... [RANKS 1 2 3] [TIMEOUT seconds])
# A GoogleTest program. With RANKS it runs under mpirun once per number of ranks, as NAME.npN.
# dino_add_test(NAME SCRIPT script.sh LABELS regression ...) runs a shell script instead.
# With GPU the program runs once more as gpu/NAME, label gpu, with DINO_TEST_DEVICE=cuda: on a device, or skipped.
# Each test gets its own empty folder as working directory.
function(dino_add_test name)
  cmake_parse_arguments(TEST "GPU" "TIMEOUT;SCRIPT" "SOURCES;LINK;LABELS;RANKS;ARGS" ${ARGN})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  if(DINO_SANITIZE)  # whole stacks of every allocation, for reports of leaks, take their time
    math(EXPR TEST_TIMEOUT "10 * ${TEST_TIMEOUT}")
  endif()
  string(REPLACE "/" "_" target test_${name})
  if(TEST_SCRIPT)
    set(command bash ${CMAKE_CURRENT_SOURCE_DIR}/${TEST_SCRIPT} ${TEST_ARGS})
  else()
    add_executable(${target} ${TEST_SOURCES})
    target_link_libraries(${target} PRIVATE ${TEST_LINK} dino::test_support)
    # compiled quickly: what is tested lies in the rooms' libraries, which keep their own optimization
    target_compile_options(${target} PRIVATE $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<NOT:$<CONFIG:Debug>>>:-O1>)
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/bin)
    set(command $<TARGET_FILE:${target}>)
  endif()
  if(TEST_GPU)
    dino_register_test(gpu/${name} 1 gpu ${TEST_TIMEOUT} ${command})
    set_tests_properties(gpu/${name} PROPERTIES RESOURCE_LOCK gpu
                         ENVIRONMENT "${DINO_TEST_ENVIRONMENT};DINO_TEST_DEVICE=cuda")
  endif()
  if(NOT TEST_RANKS)
    dino_register_test(${name} 1 "${TEST_LABELS}" ${TEST_TIMEOUT} ${command})
    return()
  endif()
  foreach(ranks IN LISTS TEST_RANKS)
    dino_register_test(${name}.np${ranks} ${ranks} "${TEST_LABELS}" ${TEST_TIMEOUT} ${DINO_MPIRUN} ${ranks} ${command})
  endforeach()
endfunction()

# Sets label, PROCESSORS, TIMEOUT, environment, folder and the skip expression of one CTest test.
function(dino_register_test name processors labels timeout)
  set(folder ${PROJECT_BINARY_DIR}/tests/${name})
  file(MAKE_DIRECTORY ${folder})
  add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY ${folder})
  set_tests_properties(${name} PROPERTIES LABELS "${labels}" PROCESSORS ${processors} TIMEOUT ${timeout}
                       ENVIRONMENT "${DINO_TEST_ENVIRONMENT}" SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]" SKIP_RETURN_CODE 77)
endfunction()
