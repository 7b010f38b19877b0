#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# dependencies.sh [tests]: installs the Debian packages that the build needs (with `tests`: also those of the test suite)
# when run as root, else names the missing ones and exits with 1. Elsewhere: load or build the libraries that
# cmake/dependencies.cmake looks for.
set -euo pipefail

packages=(g++ cmake ninja-build openmpi-bin libopenmpi-dev libhdf5-openmpi-dev libtrilinos-kokkos-dev libdnnl-dev
          ocl-icd-opencl-dev # for the package file of oneDNN
          libjpeg-dev libpng-dev zlib1g-dev libarchive-dev libtomlplusplus-dev libcli11-dev libfmt-dev libspdlog-dev
          nlohmann-json3-dev libgtest-dev libgmock-dev)
if [ "${1:-}" = tests ]; then
  packages+=(procps python3-h5py slurm-wlm munge)
  # Lmod does the same and excludes it
  [ -e /usr/share/lmod ] || packages+=(environment-modules)
fi

command -v dpkg-query >/dev/null || { echo "Not a Debian system: provide what cmake/dependencies.cmake looks for."; exit 1; }
missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "Missing Debian packages: ${missing[*]}"
  echo "Install them as root: apt-get install --no-install-recommends ${missing[*]}"
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends "${missing[@]}"
