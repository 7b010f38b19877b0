#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bundle.sh [BUILD_FOLDER] [OUT.tar.xz]: packs what `validation/gpu.sh --bundle OUT.tar.xz` needs on a machine with a GPU that
# lacks a compiler, MPI and HDF5: the program, the gpu tests with their files, the recipes, and the shared libraries that they
# need but those of the system (libc), the driver, and CUDA's (cuBLASLt, cuDNN, NCCL: looked for there). One node, x86-64.
#   DINO_BUNDLE_STDCXX=1   takes libstdc++ too, for machines whose own is older than GCC 12's
set -euo pipefail
source_dir=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:-$source_dir/build/release}" && pwd)
out=$(realpath -m "${2:-$build/dino_gpu_bundle.tar.xz}")
left_out='^(linux-vdso|ld-linux-x86-64|libc|libm|libpthread|libdl|librt|libresolv|libutil|libnsl|libanl|libcuda|libnvidia-.*)\.so'
left_out+='|^lib(cublas|cublasLt|cudnn|cudnn_[a-z_]+|nccl|cudart|curand|cusolver|cusparse|nvrtc|nvJitLink|cufft|nvrtc-builtins)\.so'
[ "${DINO_BUNDLE_STDCXX:-0}" = 1 ] || left_out+='|^(libstdc\+\+|libgcc_s)\.so'

fail() { echo "bundle.sh: $*" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bundle=$work/dino_gpu_bundle
mkdir -p "$bundle"/{lib,build,source}

# take_libraries FILE...: what they need, under the names that they ask for.
take_libraries() {
  local file name arrow path
  for file in "$@"; do
    while read -r name arrow path _; do
      [ "$arrow" = "=>" ] || continue
      [[ "$name" =~ $left_out ]] && continue
      [ "$path" != not ] || fail "$file needs $name, which is not here"
      [ -e "$bundle/lib/$name" ] || cp -L "$path" "$bundle/lib/$name"
    done < <(ldd "$file" 2>/dev/null)
  done
}

# The gpu tests as CTest has them: the lines of its files, with the places of this machine left open.
mpirun=$(sed -n 's/^MPIEXEC_EXECUTABLE:[A-Z]*=//p' "$build/CMakeCache.txt")
[ -n "$mpirun" ] || fail "$build is no build of this program"
find "$build/validation" -name CTestTestfile.cmake -exec cat {} + |
  grep -E '^(add_test|set_tests_properties)\((\[=+\[)?"?gpu/' >"$work/tests" || fail "no gpu test in $build: is DINO_TESTS on?"
sed -e "s|$build|@BUNDLE@/build|g" -e "s|$source_dir|@BUNDLE@/source|g" -e "s|$mpirun|@BUNDLE@/ompi/bin/mpirun|g" \
  "$work/tests" >"$bundle/build/CTestTestfile.cmake.in"

# The programs that they call, and those of the benchmarks.
programs=$(grep -oE "$build/[A-Za-z0-9_/.]+" "$work/tests" | sort -u)
for file in $programs "$build/dino"; do
  if [ -d "$file" ]; then  # a test's own folder
    mkdir -p "$bundle/build/${file#"$build"/}"
  elif [ -x "$file" ]; then
    mkdir -p "$(dirname "$bundle/build/${file#"$build"/}")"
    strip -o "$bundle/build/${file#"$build"/}" "$file"
    take_libraries "$file"
  elif [ ! -e "$file" ] && [[ "$file" != */tests/* || "$file" == */tests/bin/* ]]; then
    fail "$file is not built: cmake --build $build"
  fi
done
mkdir -p "$bundle/source/validation"
cp -r "$source_dir/inputs" "$bundle/source/"
cp -r "$source_dir/validation"/{gpu,regression,support,gpu.sh} "$bundle/source/validation/"
git -C "$source_dir" describe --always --dirty >"$bundle/commit" 2>/dev/null || echo unknown >"$bundle/commit"

# Open MPI: its launcher and the plug-ins for one node.
prefix=$(dirname "$(dirname "$(readlink -f "$mpirun")")")
libraries=$(dirname "$(ldd "$build/dino" | sed -n 's/.*libmpi\.so[^ ]* => \([^ ]*\) .*/\1/p')")
for plugins in "$libraries"/openmpi/lib/openmpi3 "$libraries"/openmpi/lib/openmpi "$libraries"/openmpi; do
  [ ! -e "$plugins/mca_pml_ob1.so" ] || break
done
[ -e "$plugins/mca_pml_ob1.so" ] || fail "found no plug-ins of Open MPI beside $libraries"
mkdir -p "$bundle"/ompi/{bin,share,etc,plugins} "$bundle/pmix/lib/pmix"
cp -L "$(readlink -f "$mpirun")" "$bundle/ompi/bin/mpirun"
cp -L "$prefix/bin/orted" "$bundle/ompi/bin/orted"
take_libraries "$prefix/bin/orted" "$(readlink -f "$mpirun")"
for plugin in "$plugins"/*.so; do
  case $(basename "$plugin") in
    *ucx* | *ofi* | *psm* | *openib* | *usnic* | *portals* | *verbs* | *cuda* | mca_pml_yalla* | mca_fs_lustre* | *monitoring*) ;;
    *oshmem* | mca_spml* | mca_scoll* | mca_memheap* | mca_sshmem* | mca_atomic*) ;;
    *) cp -L "$plugin" "$bundle/ompi/plugins/" && take_libraries "$plugin" ;;
  esac
done
cp -r "$prefix/share/openmpi" "$bundle/ompi/share/"
[ ! -d "$prefix/share/pmix" ] || cp -r "$prefix/share/pmix" "$bundle/ompi/share/"
for plugin in "$libraries"/pmix2/lib/pmix/*.so "$libraries"/pmix/lib/pmix/*.so; do
  [ -e "$plugin" ] || continue
  cp -L "$plugin" "$bundle/pmix/lib/pmix/"
  take_libraries "$plugin"
done

cat >"$bundle/run.sh" <<'END'
#!/bin/sh
# run.sh COMMAND...: runs a command with the libraries and the Open MPI of the bundle.
bundle=$(cd "$(dirname "$0")" && pwd)
export LD_LIBRARY_PATH="$bundle/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" PATH="$bundle/ompi/bin:$bundle/build:$PATH"
export OPAL_PREFIX="$bundle/ompi" PMIX_INSTALL_PREFIX="$bundle/pmix" PMIX_MCA_mca_base_component_path="$bundle/pmix/lib/pmix"
export OMPI_MCA_mca_base_component_path="$bundle/ompi/plugins"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader OMPI_MCA_plm=isolated OMPI_MCA_hwloc_base_binding_policy=none
export HWLOC_PLUGINS_PATH="$bundle/none" HWLOC_COMPONENTS=-gl,-opencl,-cuda,-nvml
exec "$@"
END
chmod +x "$bundle/run.sh"
find "$bundle/lib" "$bundle/ompi/plugins" "$bundle/pmix" -name '*.so*' -exec strip --strip-unneeded {} + 2>/dev/null || true
mkdir -p "$(dirname "$out")"
XZ_OPT=${XZ_OPT:-'-T0 --lzma2=preset=6,dict=64MiB'} tar -C "$work" -cJf "$out" dino_gpu_bundle
du -sm "$bundle" | awk '{printf "unpacked %d MiB, ", $1}'
ls -l "$out" | awk '{printf "packed %.1f MiB: %s\n", $5 / 1048576, $9}'
