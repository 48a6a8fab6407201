#!/usr/bin/env bash
# Bootstrap action for EMR 7.1.0 and later: installs dhs, with the versions of the lock, on a node.
#
#   bootstrap.sh --package s3://…/darkhaloscope-0.1.0-py3-none-any.whl | darkhaloscope==0.1.0
#                --lock s3://…/requirements.lock --home /opt/darkhaloscope --cache /mnt/darkhaloscope
#                [--wheels s3://…/wheels] [--torch-index ADDRESS] [--profile FILE]
#
# Python: the nodes' python3 is 3.9, which dhs does not run on; Amazon lists Python 3.11 beside it
# from EMR 7.1.0 on, and a node without it gets Amazon Linux 2023's own package.
# Torch: the lock's version, as a CPU build; it comes from --wheels or --torch-index, else from
# pip's usual index, whose build must then be a CPU one too. A CUDA build ends the cluster.
# pyspark is not installed: spark-submit brings EMR's own.
#
# Any exit code but 0 makes EMR end the cluster.
set -euo pipefail

fail() {
  echo "bootstrap of dhs failed on $(uname -n): $*" >&2
  exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

package='' lock='' home='' cache='' wheels='' torch_index=''
profile=/etc/profile.d/darkhaloscope.sh
while (($#)); do
  (($# > 1)) || fail "$1 needs a value"
  case $1 in
    --package) package=$2 ;;
    --lock) lock=$2 ;;
    --home) home=$2 ;;
    --cache) cache=$2 ;;
    --wheels) wheels=$2 ;;
    --torch-index) torch_index=$2 ;;
    --profile) profile=$2 ;;
    *) fail "unknown option $1" ;;
  esac
  shift 2
done
for name in package lock home cache; do
  [[ -n ${!name} ]] || fail "--$name is missing"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! command -v python3.11 >/dev/null; then
  sudo dnf install -y -q python3.11 || fail "no Python 3.11 here, and dnf has none"
fi

aws s3 cp --only-show-errors "$lock" "$work/requirements.lock" || fail "cannot fetch $lock"
if [[ $package == s3://* ]]; then
  aws s3 cp --only-show-errors "$package" "$work/${package##*/}" || fail "cannot fetch $package"
  package=$work/${package##*/}
fi

options=(--quiet --no-cache-dir --disable-pip-version-check --constraint "$work/requirements.lock")
if [[ -n $wheels ]]; then
  aws s3 cp --only-show-errors --recursive "$wheels/" "$work/wheels" || fail "cannot fetch $wheels"
  options+=(--no-index --find-links "$work/wheels")
fi
if [[ -n $torch_index ]]; then
  options+=(--extra-index-url "$torch_index")
fi

sudo rm -rf "$home"
sudo python3.11 -m venv "$home"
# pandas: what Spark's Arrow functions ask for beside pyarrow
sudo "$home/bin/python" -m pip install "${options[@]}" "$package" pandas || fail "pip install"

"$home/bin/python" - "$work/requirements.lock" <<'PYTHON' || fail "not what the lock says"
import importlib.metadata as installed
import sys

import torch

cuda = torch.version.cuda
if cuda:
    sys.exit(f"torch {torch.__version__} is a build for CUDA {cuda}; give --wheels or --torch-index")
wanted = dict(line.strip().split("==") for line in open(sys.argv[1]) if "==" in line)
for name in ("torch", "numpy", "pyarrow", "pandas"):
    found = installed.version(name).split("+")[0]
    if found != wanted[name]:
        sys.exit(f"{name} {found} is installed where the lock has {wanted[name]}")
PYTHON
"$home/bin/dhs" --version || fail "dhs does not run"

sudo install -d -m 1777 "$cache"
printf 'export %s=%s\n' PYSPARK_PYTHON "$home/bin/python" PYSPARK_DRIVER_PYTHON "$home/bin/python" \
  DHS_CACHE "$cache" | sudo tee "$profile" >/dev/null
