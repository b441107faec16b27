#!/bin/sh
# cpu_wheels.sh PYTHON URL: the options by which pip finds torch without CUDA, some hundred megabytes instead of five
# thousand; none where there is an NVIDIA driver, where every torch is small, or where the index does not answer.
[ "$(uname -s)" = Linux ] || exit 0
command -v nvidia-smi >/dev/null && exit 0
"$1" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/torch/", timeout=5)' "$2" 2>/dev/null || exit 0
echo "--extra-index-url $2"
